"""TRL (read and tried: 1.16.0): `prompt` as messages, `answer`, and `solution` = gold, which its accuracy_reward reads.

A worked solution of your own becomes `source_solution`. GRPOTrainer renders `prompt` with the tokenizer's chat template; settings
of the template (data.chat_template_kwargs) belong into GRPOConfig(chat_template_kwargs=…).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learnalign.handoff.format import Chosen, Format, Row
from learnalign.handoff.judging import text_of, verdicts
from learnalign.handoff.messages import scored_rows
from learnalign.scored import MARK, original
from learnalign.verify import Item


def rows(chosen: Chosen) -> Sequence[Row]:
    return scored_rows(chosen, also=("solution",))


FORMAT = Format(rows=rows, suffixes=(".jsonl", ".parquet"), uniform=True)


def reward(completions: Sequence[Any], answer: Sequence[str], **columns: Any) -> list[float | None]:
    """A reward function for GRPOTrainer: judges by the verifier that the rows name, as p was measured.

    `columns` are the data set's others. None, for a completion that cannot be scored, is left out by TRL.
    """
    about = columns.get(MARK) or [{}] * len(answer)
    prompts = columns.get("prompts") or [None] * len(answer)
    items = [
        Item(text_of(completion), gold, prompt if isinstance(prompt, list) else None, _source(columns, i))
        for i, (completion, gold, prompt) in enumerate(zip(completions, answer, prompts, strict=True))
    ]
    rewards: list[float | None] = [None] * len(items)
    opened = [
        (str((each or {}).get("verifier") or "math"), tuple((each or {}).get("reasoning_tags") or ())) for each in about
    ]
    for name, tags in dict.fromkeys(opened):
        places = [i for i, each in enumerate(opened) if each == (name, tags)]
        judged = verdicts([items[i] for i in places], name, tags)
        for i, verdict in zip(places, judged, strict=True):
            rewards[i] = verdict.reward
    return rewards


def _source(columns: dict[str, Any], i: int) -> dict[str, Any]:
    """Row i of the data set as the user's function saw it in the pool."""
    row = {name: values[i] for name, values in columns.items() if isinstance(values, list) and len(values) > i}
    return original(row) if isinstance(row.get(MARK), dict) else row
