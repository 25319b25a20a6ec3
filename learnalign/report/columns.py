"""The data's own columns (kind, source, level …) that sort prompts into few groups, and the share of each that was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learnalign.config import DataConfig
from learnalign.prompts import Prompt
from learnalign.selection.columns import few_valued

SHOWN = 8  # groups; the rest are "other"
OTHER = "other"


@dataclass(frozen=True)
class Column:
    """A column of the data: the names of its groups, most frequent first, and by prompt the number of its group."""

    name: str
    groups: list[str]
    codes: np.ndarray


@dataclass(frozen=True)
class Share:
    """Of a group: prompts in the pool, those with V > 0, the chosen."""

    group: str
    pool: int
    learnable: int
    chosen: int


def find_columns(prompts: Sequence[Prompt], data: DataConfig) -> list[Column]:
    """The columns of the data by which the shares of a choice are counted."""
    return [_column(name, values) for name, values in few_valued(data, prompts).items()]


def _column(name: str, values: list[str]) -> Column:
    frequent = [value for value, _ in Counter(values).most_common()]
    groups = frequent if len(frequent) <= SHOWN else [*frequent[: SHOWN - 1], OTHER]
    codes = {value: min(i, len(groups) - 1) for i, value in enumerate(frequent)}
    return Column(name, groups, np.array([codes[value] for value in values]))


def shares(column: Column, learnable: np.ndarray, chosen: np.ndarray) -> list[Share]:
    """How many prompts of each group are in the pool, have V > 0, and were chosen."""
    every = [np.bincount(column.codes[part], minlength=len(column.groups)) for part in (..., learnable, chosen)]
    return [Share(group, *(int(counts[i]) for counts in every)) for i, group in enumerate(column.groups)]
