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


def rows(chosen: Chosen) -> Sequence[Row]:
    return scored_rows(chosen, also=("solution",))


FORMAT = Format(
    rows=rows,
    suffixes=(".jsonl", ".parquet"),
    uniform=True,
    template=lambda settings: f"GRPOConfig(chat_template_kwargs={dict(settings)!r})",
)


def reward(completions: Sequence[Any], answer: Sequence[str], **columns: Any) -> list[float | None]:
    """A reward function for GRPOTrainer: judges by the verifier that the rows name, as p was measured.

    `columns` are the data set's others. None, for a completion that cannot be scored, is left out by TRL.
    """
    count = len(answer)
    prompts = [prompt if isinstance(prompt, list) else None for prompt in columns.get("prompts") or [None] * count]
    judged = verdicts(
        [text_of(completion) for completion in completions],
        answer,
        columns.get(MARK) or [None] * count,
        prompts,
        [_source(columns, i) for i in range(count)],
    )
    return [verdict.reward for verdict in judged]


def _source(columns: dict[str, Any], i: int) -> dict[str, Any]:
    """Row i of the data set as the user's function saw it in the pool."""
    row = {name: values[i] for name, values in columns.items() if isinstance(values, list) and len(values) > i}
    return original(row) if isinstance(row.get(MARK), dict) else row
