"""NeMo-RL's ResponseDataset (read: 7ea279a, 2026-08-22): `input` and `output` as texts.

    data.train.dataset_name=ResponseDataset data.train.data_path=FILE data.default.prompt_file=null

Its processor math_hf_data_processor takes the system message, the same for all prompts, from data.default.system_prompt_file:
it stands beside the file, in NAME_system.txt. Prompts with more turns go through NeMo Gym (`--to nemo-gym`).
"""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.errors import InputError, counted, short
from learnalign.handoff.format import Chosen, Format, Row, dotted
from learnalign.prompts import Prompt

SYSTEM = "_system.txt"


def question(prompt: Prompt, chosen: Chosen) -> str:
    """The one user message; raises InputError for a prompt of more turns."""
    own = [message["content"] for message in prompt.messages if message["role"] != "system"]
    if len(own) != 1 or len(prompt.messages) > 2:
        raise InputError(
            f"{chosen.where}: prompt {short(prompt.id)} has {counted(len(prompt.messages), 'message')}, but NeMo-RL's math processor "
            "takes a system message and a question; hand it over by `--to nemo-gym`, which keeps them all"
        )
    return own[0]


def system(chosen: Chosen, file: str) -> dict[str, str]:
    """The system message for a file of its own; raises InputError if prompts have different ones."""
    texts = {
        prompt.messages[0]["content"] if prompt.messages[0]["role"] == "system" else "" for prompt in chosen.prompts
    }
    if len(texts) > 1:
        raise InputError(
            f"{chosen.where}: its prompts have {len(texts)} system messages, but NeMo-RL takes one for all; hand it over by "
            "`--to nemo-gym`, which keeps them"
        )
    text = next(iter(texts), "")
    return {SYSTEM: text} if text else {}


def rows(chosen: Chosen) -> Sequence[Row]:
    return [
        {"input": question(prompt, chosen), "output": prompt.answer, "metadata": extra}
        for prompt, extra in zip(chosen.prompts, chosen.extra(), strict=True)
    ]


FORMAT = Format(
    rows=rows,
    suffixes=(".jsonl", ".parquet"),
    uniform=True,
    beside=system,
    template=dotted("++policy.tokenizer.chat_template_kwargs"),
)
