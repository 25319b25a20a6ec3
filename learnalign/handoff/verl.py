"""verl (read and tried: 0.9.1): data_source, prompt (messages), ability, reward_model, extra_info with your own columns.

verl's own scorer knows data sets by `data_source` (`--data-source`; yours, if the pool has the column). To score as p was
measured, whatever the data source, give it our function:

    reward.custom_reward_function.path=pkg://learnalign.handoff.verl  reward.custom_reward_function.name=compute_score

(before 0.7 without `reward.`, and the path as that of this file).
Settings of the chat template belong into data.apply_chat_template_kwargs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learnalign.handoff.format import Chosen, Format, Row, dotted
from learnalign.handoff.judging import score
from learnalign.prompts import Prompt
from learnalign.scored import beside

OWN = ("data_source", "ability", "extra_info")  # of a pool in verl's form, which stay where they are


def rows(chosen: Chosen) -> Sequence[Row]:
    columns = chosen.columns()
    inner = [own["extra_info"] if isinstance(own.get("extra_info"), dict) else {} for own in columns]
    others = [_others(prompt, own) for prompt, own in zip(chosen.prompts, columns, strict=True)]
    extra = beside(beside([chosen.identity(prompt) for prompt in chosen.prompts], inner), others)
    return [
        {
            "data_source": source,
            "prompt": prompt.messages,
            "ability": own["ability"] if isinstance(own.get("ability"), str) else "math",
            "reward_model": _judged(prompt, own),
            "extra_info": info,
        }
        for prompt, source, own, info in zip(chosen.prompts, chosen.sources("learnalign"), columns, extra, strict=True)
    ]


def _judged(prompt: Prompt, own: Row) -> Row:
    """reward_model: the user's, if there is one, with the gold as it was scored."""
    given = own["reward_model"] if isinstance(own.get("reward_model"), dict) else {}
    return {"style": "rule", **given, "ground_truth": prompt.answer}


def _others(prompt: Prompt, own: Row) -> Row:
    """The user's columns that have no place of their own in the row; of `prompt` and `reward_model` only what the row changes."""
    gold = own["reward_model"].get("ground_truth") if isinstance(own.get("reward_model"), dict) else None
    asked, question = own.get("prompt"), prompt.messages
    kept = {
        "prompt": bool(asked) and asked in (question, question[1:]),  # before it, at most the system prompt was added
        "reward_model": gold == prompt.answer,
    }
    return {name: value for name, value in own.items() if name not in OWN and not kept.get(name)}


FORMAT = Format(
    rows=rows,
    suffixes=(".parquet", ".jsonl"),
    uniform=True,
    template=dotted("++data.apply_chat_template_kwargs"),
)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    verifier: str | None = None,
    **_: Any,
) -> dict[str, Any]:
    """verl's custom reward function: judges by the verifier that the row names, or `verifier` (reward_kwargs).

    A completion that cannot be scored counts as wrong, since verl has no word for it.
    """
    info = extra_info or {}
    gold = {"style": "rule", "ground_truth": ground_truth}
    source = {"data_source": data_source, "reward_model": gold, **info, "extra_info": info}
    reward = score(solution_str, ground_truth, {**info, **({"verifier": verifier} if verifier else {})}, source)
    return {"score": reward, "acc": reward == 1.0}
