"""The data's own columns (kind, source, level …) that sort prompts into few groups, and the share of each that was chosen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnalign.config import DataConfig
from learnalign.prompts import Prompt

MOST_COLUMNS = 6
MOST_VALUES = 30  # of a column that counts as one of groups
SHOWN = 8  # groups; the rest are "other"
LONGEST = 60
OTHER, NONE = "other", "(none)"


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
    """Columns with 2 to 30 different short values that are neither question, answer, solution nor id."""
    used = {data.prompt, data.answer, data.solution, data.id}
    values: dict[str, dict[int, str]] = {}
    for place, prompt in enumerate(prompts):
        for name, value in _scalars(json.loads(prompt.source)):
            values.setdefault(name, {})[place] = value
    columns = []
    for name, own in values.items():
        different = len(set(own.values())) + (len(own) < len(prompts))
        if name not in used and 2 <= different <= min(MOST_VALUES, len(prompts) / 2):
            columns.append(_column(name, [own.get(place, NONE) for place in range(len(prompts))]))
    return columns[:MOST_COLUMNS]


def _scalars(row: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of a row's short values; those inside another object have its name before a dot."""
    for name, value in row.items() if isinstance(row, dict) else ():
        if isinstance(value, dict) and not prefix:
            yield from _scalars(value, f"{name}.")
        elif isinstance(value, str | bool | int) and len(text := str(value)) <= LONGEST:
            yield prefix + name, text


def _column(name: str, values: list[str]) -> Column:
    frequent = [value for value, _ in Counter(values).most_common()]
    groups = frequent if len(frequent) <= SHOWN else [*frequent[: SHOWN - 1], OTHER]
    codes = {value: min(i, len(groups) - 1) for i, value in enumerate(frequent)}
    return Column(name, groups, np.array([codes[value] for value in values]))


def shares(column: Column, learnable: np.ndarray, chosen: np.ndarray) -> list[Share]:
    """How many prompts of each group are in the pool, have V > 0, and were chosen."""
    every = [np.bincount(column.codes[part], minlength=len(column.groups)) for part in (..., learnable, chosen)]
    return [Share(group, *(int(counts[i]) for counts in every)) for i, group in enumerate(column.groups)]
