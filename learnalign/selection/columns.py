"""What the choice is made of: for columns of the data with few values, how many prompts of each value could be chosen and were.

Reads files only, no torch: `status` and the report show it, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from learnalign.config import DataConfig
from learnalign.errors import RunError
from learnalign.prompts import Prompt, stored_prompts
from learnalign.rundir import Label, RunDir
from learnalign.rundir.files import read_parquet

FEWEST_VALUES, MOST_VALUES = 2, 12
FEWEST_PROMPTS = 3  # of a value, on average
MOST_COLUMNS = 4
_LONGEST = 60  # characters of a value


@dataclass(frozen=True)
class Share:
    """Of the prompts with a `value` in a `column`, those in the pool, those that could be chosen, and those that were."""

    column: str
    value: str
    prompts: int
    eligible: int
    chosen: int


def shares(run: RunDir, method: str = "learnalign") -> list[Share]:
    """The shares in the stored choice of `method`; raises RunError if there is none."""
    path = run.scores_file(method)
    run.check_method(method)
    if not path.is_file():
        raise RunError(
            f"{path} does not exist; run `learnalign select {run.quoted} {Label.parse(method).typed(run.config)}` first"
        )
    table = read_parquet(path, ["id", "selected", "skipped"])
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    state = {id: (skipped is None, selected) for id, selected, skipped in rows}
    prompts = stored_prompts(run)
    return count_shares(run.config.data, prompts, *zip(*(state[prompt.id] for prompt in prompts), strict=True))


def count_shares(
    data: DataConfig, prompts: Sequence[Prompt], eligible: Sequence[bool], chosen: Sequence[bool]
) -> list[Share]:
    """The shares of the first columns of the source rows with few values, a column's most frequent value first."""
    found: list[Share] = []
    for column, values in few_valued(data, prompts).items():
        could = Counter(value for value, one in zip(values, eligible, strict=True) if one)
        taken = Counter(value for value, one in zip(values, chosen, strict=True) if one)
        counts = Counter(values).most_common()
        found += [Share(column, value, count, could[value], taken[value]) for value, count in counts]
    return found


def few_valued(data: DataConfig, prompts: Sequence[Prompt]) -> dict[str, list[str]]:
    """The first columns of the source rows with few values, and the value of every prompt.

    A column inside another is named by its dotted path. The columns of question, gold answer and id are no such columns,
    nor are those with less than three prompts for each value.
    """
    rows = [dict(_scalars(json.loads(prompt.source))) for prompt in prompts]
    skipped = {data.prompt, *data.answers, data.solution, data.id}
    found: dict[str, list[str]] = {}
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in skipped]
    for column in columns:
        values = [row.get(column, "null") for row in rows]
        counts = Counter(values)
        few = FEWEST_VALUES <= len(counts) <= MOST_VALUES and len(counts) * FEWEST_PROMPTS <= len(rows)
        if few and all(len(value) <= _LONGEST for value in counts):
            found[column] = values
            if len(found) == MOST_COLUMNS:
                break
    return found


def _scalars(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and text of each value that is no list, one level deep."""
    for name, value in row.items():
        if isinstance(value, dict) and not prefix:
            yield from _scalars(value, f"{name}.")
        elif not isinstance(value, dict | list):
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)
