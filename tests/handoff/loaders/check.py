"""What all loaders are held against: the token ids of the prompts of tests/handoff/rows.py."""

from pathlib import Path
from typing import Any

from tests.handoff.rows import chosen


def model() -> str:
    """The embedded model's directory."""
    import learnalign.demo

    return str(Path(learnalign.demo.__file__).parent / "model")


def scored(tokenizer: Any) -> list[list[int]]:
    return [
        tokenizer.apply_chat_template(prompt.messages, add_generation_prompt=True, return_dict=False)
        for prompt in chosen().prompts
    ]


def check_prompts(what: str, prompts: list[Any], tokenizer: Any) -> None:
    """`prompts` as messages, texts or token ids are those that were scored."""

    def ids(prompt: Any) -> list[int]:
        if isinstance(prompt, str):
            return tokenizer(prompt, add_special_tokens=False)["input_ids"]
        prompt = list(prompt)
        if prompt and isinstance(prompt[0], int):
            return prompt
        return tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)

    assert [ids(prompt) for prompt in prompts] == scored(tokenizer), f"{what}: other token ids than were scored"
    print(f"{what}: {len(prompts)} prompts loaded, with the token ids that were scored")
