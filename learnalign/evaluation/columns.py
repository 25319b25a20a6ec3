"""A metric by the columns of the test set that have few values (kind, level …)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learnalign.config import DataConfig
from learnalign.evaluation.metrics import estimate
from learnalign.prompts import Prompt
from learnalign.selection.columns import few_valued


@dataclass(frozen=True, kw_only=True)
class Part:
    """The metric over the `questions` with one value of a column, and its 95 % interval; None if none was scored."""

    value: float | None
    low: float | None
    high: float | None
    questions: int


def by_columns(data: DataConfig, prompts: Sequence[Prompt], values: Mapping[str, float]) -> dict[str, dict[str, Part]]:
    """By column and its value, the most frequent first, the mean over the questions whose `values` are by id."""
    return {
        column: {
            kind: _part(
                [
                    values[prompt.id]
                    for prompt, own in zip(prompts, kinds, strict=True)
                    if own == kind and prompt.id in values
                ]
            )
            for kind, _ in Counter(kinds).most_common()
        }
        for column, kinds in few_valued(data, prompts).items()
    }


def _part(values: list[float]) -> Part:
    if not values:
        return Part(value=None, low=None, high=None, questions=0)
    whole = estimate(values)
    return Part(value=whole.value, low=whole.low, high=whole.high, questions=whole.questions)
