"""A commented config for a pool (`learnalign init`), and three of its rows as the policy will see them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign import demo
from learnalign.columns import LeaveOut, Messages, messages_of
from learnalign.config import PRESETS, Config, DataConfig, build_config, write_yaml
from learnalign.errors import InputError, counted, listed_briefly, one_line, short
from learnalign.guess import Guess, Row, first_rows, gold_reasons, guess
from learnalign.policy import load_tokenizer, model_config, prompt_text
from learnalign.pool_rows import NO_ID, TAKEN
from learnalign.pool_table import Prompt
from learnalign.prompts import read_pool, reason_counts
from learnalign.tokenised import count_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORM = r"Please reason step by step, and put your final answer within \boxed{}."
CODE_FORM = (
    "Solve the task in Python. If it names a function, define that function; if not, read standard input and write the answer to standard "
    "output. Give the whole program, with its imports, in one block that begins with ```python."
)
_FORMS = ("\\boxed", "####", "<answer>", "Answer:")  # a prompt with one of them says itself how to answer
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A row as the policy will see it: `prompt` rendered, or its messages if there is no tokenizer; the gold, and why the
    verifier cannot use it.
    """

    prompt: str
    gold: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A config as text, what it means, the guess it comes from, three rows, and notes for the user."""

    text: str
    config: Config
    guess: Guess
    prompts: int
    rows: list[Shown]
    notes: list[str]


def draft(source: str, model: str, name: str | None = None, split: str = "train") -> Draft:
    """Look at a pool and write a config for it; raises InputError if it cannot be read or has no question or gold."""
    preset = next((preset for preset in PRESETS.values() if preset.data.get("path") == source), None)
    name = name or (preset.data.get("name") if preset else None)
    path = str(Path(source).expanduser().resolve()) if Path(source).expanduser().exists() else source
    place = {"path": path, **({"name": name} if name else {}), **({"split": split} if split != "train" else {})}
    rows = first_rows(DataConfig.model_validate(place))
    found = guess(rows)
    data = place | {key: value for key, value in found.data.items() if value is not None}
    if form := _form(rows, data, model, found.verifier):
        data.setdefault("system_prompt", form)
    settings: dict[str, Any] = {"model": {"name": model}, "data": data, "verifier": found.verifier}
    if found.verifier == "code":
        settings["verifier_sandbox"] = "local"
    tokenizer, limits, notes = _model(build_config(settings))
    prompts, left_out, count = read_pool(build_config(settings).data)
    if "id" in data and any(entry.reason.startswith((TAKEN, NO_ID)) for entry in left_out):
        notes.append(
            f"the column {short(data.pop('id'))} has no id for some rows, or one twice; ids are made from the content"
        )
        prompts, left_out, count = read_pool(build_config(settings).data)
    data["max_prompt_tokens"] = limits[0]
    if tokenizer is not None:
        roomy = DataConfig.model_validate({**data, "max_prompt_tokens": 1 << 20})
        lengths = sorted(count_tokens(roomy, tokenizer, prompts)[0].values())
        data["max_prompt_tokens"] = most = _room(lengths, limits)
        if long := sum(length > most for length in lengths):
            notes.append(
                f"{counted(long, 'prompt is', 'prompts are')} longer than data.max_prompt_tokens, {most}: a run leaves them out"
            )
    if left_out:
        reasons = reason_counts({"reason": entry.reason} for entry in left_out)
        listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        notes.append(
            f"{len(left_out):,} of {counted(count, 'row')} {'is' if len(left_out) == 1 else 'are'} left out: {listed}"
        )
    settings["data"] = {key: data[key] for key in _ABOUT if key in data}
    settings |= _sizes(len(prompts), limits[1])
    config = build_config(settings)
    return Draft(
        text=_written(settings, found, len(prompts)),
        config=config,
        guess=found,
        prompts=len(prompts),
        rows=_shown(prompts[:_SHOWN], config, tokenizer),
        notes=notes,
    )


def _form(rows: list[Row], data: dict[str, Any], model: str, verifier: str) -> str | None:
    """How to answer, if no prompt says it; the embedded model reads bare questions alone."""
    form, forms = (CODE_FORM, ("```",)) if verifier == "code" else (FORM, _FORMS)
    bare = {key: value for key, value in data.items() if key != "prompt_template"}
    messages = _messages(rows, DataConfig.model_validate(bare))
    told = [any(form in turn["content"] for form in forms for turn in turns) for turns in messages]
    own = any(turns[0]["role"] == "system" for turns in messages)
    return None if own or sum(told) > len(told) / 2 or model in ("demo", str(demo.MODEL)) else form


def _messages(rows: list[Row], data: DataConfig) -> list[Messages]:
    found = []
    for row in rows:
        try:
            found.append(messages_of(row, data))
        except LeaveOut:
            continue
    return found


def _model(config: Config) -> tuple[PreTrainedTokenizerBase | None, tuple[int, int, int], list[str]]:
    """The tokenizer, if it can be loaded; the longest prompt and completion and the context, in tokens; notes."""
    try:
        tokenizer = load_tokenizer(config)
        context = getattr(model_config(config).get_text_config(), "max_position_embeddings", None) or 1 << 20
    except InputError as error:
        return None, (512, 1024, 1 << 20), [f"prompts are shown without the model's template: {one_line(error, 300)}"]
    completion = min(1024, context // 2)
    return tokenizer, (min(512, context - completion), completion, context), []


def _room(lengths: list[int], limits: tuple[int, int, int]) -> int:
    """`data.max_prompt_tokens`: the default, or as many as 99 % of the prompts need, if the model takes them."""
    longest = lengths[math.ceil(0.99 * len(lengths)) - 1] if lengths else 0
    return max(limits[0], min(-(-longest // 256) * 256, limits[2] - limits[1]))


def _sizes(prompts: int, completion: int) -> dict[str, Any]:
    """Sizes that the pool has, and the completion length that the model takes."""
    return {
        "warmup": {"size": min(300, prompts), "max_completion_length": completion},
        "rollout": {"max_completion_length": completion},
        "select": {"size": max(1, min(1000, prompts // 4))},
    }


def _shown(prompts: list[Prompt], config: Config, tokenizer: PreTrainedTokenizerBase | None) -> list[Shown]:
    reasons = gold_reasons(config.verifier, [prompt.answer for prompt in prompts])
    return [
        Shown(prompt=_rendered(prompt.messages, tokenizer), gold=prompt.answer, reason=reason)
        for prompt, reason in zip(prompts, reasons, strict=True)
    ]


def _rendered(messages: Messages, tokenizer: PreTrainedTokenizerBase | None) -> str:
    if tokenizer is not None:
        return prompt_text(tokenizer, messages)
    return "\n".join(f"[{message['role']}] {message['content']}" for message in messages)


_ABOUT = {
    "path": "the pool",
    "name": "its configuration on the hub",
    "split": "its split",
    "prompt": "column with the question",
    "prompt_template": "the question of several columns",
    "prompt_regex": "the question without the template around it",
    "answer": "column with the gold answer",
    "answer_regex": "the gold inside that column",
    "solution": "worked solution, for some signals",
    "id": "column with the id",
    "system_prompt": "first message of every prompt; delete it if the model needs none",
    "max_prompt_tokens": "longer prompts are left out",
}


def _written(settings: dict[str, Any], found: Guess, prompts: int) -> str:
    """The settings as YAML with comments."""
    shape = f"the shape {found.shape}: {PRESETS[found.shape].about}" if found.shape else "no known shape: a guess"
    data, code = settings["data"], found.verifier == "code"
    if code:
        shape = "code tasks"
    lines = [
        f"# {counted(prompts, 'prompt')}, {shape}.",
        "# Every other key has its default: `learnalign config` lists them. Try it: learnalign run DIR --config FILE --dry-run",
        *_section("model", settings["model"], {"name": "the model to be trained"}),
        *_section("data", data, _ABOUT, found.others),
        f"verifier: {found.verifier}  # what decides whether a completion is correct: `learnalign config verifier`",
        *(["verifier_sandbox: local  # where programs run: bubblewrap on this machine, or a URL"] if code else []),
        *_section(
            "warmup",
            settings["warmup"],
            {"size": "prompts of the short training before", "max_completion_length": "tokens"},
        ),
        *_section("rollout", settings["rollout"], {"max_completion_length": "tokens"}),
        *_section("select", settings["select"], {"size": "prompts to choose, or a fraction of the pool"}),
    ]
    return "\n".join(lines) + "\n"


def _section(
    name: str, keys: dict[str, Any], about: dict[str, str], others: dict[str, list[str]] | None = None
) -> list[str]:
    lines = [f"{name}:"]
    for key, value in keys.items():
        text = write_yaml({key: value}).rstrip("\n").replace("\n", "\n  ")
        lines.append(f"  # {about[key]}" if len(text) > 60 and key in about else "")
        lines.append(f"  {text}" + (f"  # {about[key]}" if len(text) <= 60 and key in about else ""))
        if also := (others or {}).get(key):
            lines.append(f"  # or: {listed_briefly(write_yaml(path).splitlines()[0] for path in also)}")
    return [line for line in lines if line]
