"""What the choice is made of: for columns of the data with few values, how many prompts of each value could be chosen and were.

Reads files only, no torch: `status` and the report show it, too.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from learnalign.config import DataConfig
from learnalign.errors import RunError
from learnalign.pool_table import Prompt, Prompts
from learnalign.prompts import stored_prompts
from learnalign.rundir import Label, RunDir
from learnalign.rundir.files import read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_VALUES, MOST_VALUES = 2, 12
FEWEST_PROMPTS = 3  # of a value, on average
MOST_COLUMNS = 4
_LONGEST = 60  # characters of a value
_ROWS = 8192  # of the source, read as one, or a few more

Places = dict[str, np.ndarray]  # by value


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
    return count_shares(run.config.data, prompts, *zip(*(state[id] for id in prompts.ids), strict=True))


def count_shares(data: DataConfig, prompts: Sequence[Prompt], eligible: ArrayLike, chosen: ArrayLike) -> list[Share]:
    """The shares of the first columns of the source rows with few values, a column's most frequent value first."""
    could, taken, found = np.asarray(eligible, bool), np.asarray(chosen, bool), []
    for column, by_value in _few_places(data, prompts).items():
        for value, places in sorted(by_value.items(), key=lambda item: (-len(item[1]), item[1][0])):
            counts = len(places), int(could[places].sum()), int(taken[places].sum())
            found.append(Share(column, value, *counts))
    return found


def few_valued(data: DataConfig, prompts: Sequence[Prompt]) -> dict[str, list[str]]:
    """The first columns of the source rows with few values, and the value of every prompt.

    A column inside another is named by its dotted path. The columns of question, gold answer and id are no such columns,
    nor are those with less than three prompts for each value.
    """
    return {column: _values(places, len(prompts)) for column, places in _few_places(data, prompts).items()}


def _few_places(data: DataConfig, prompts: Sequence[Prompt]) -> dict[str, Places]:
    """As `few_valued`: by column, the places of each value, in order."""
    parts: dict[str, dict[str, list[np.ndarray]]] = {}
    many: set[str | None] = {data.prompt, *data.answers, data.solution, data.id}  # columns that are out
    start = 0
    for rows in _sources(prompts):
        fast = _read_fast(rows, many)
        for column, by_value in (_read(rows.to_pylist(), many) if fast is None else fast).items():
            values = parts.setdefault(column, {})
            for value, places in by_value.items():
                values.setdefault(value, []).append(np.asarray(places) + start)
            if len(values) > MOST_VALUES or any(len(value) > _LONGEST for value in values):
                many.add(column)
                values.clear()
        start += len(rows)
    columns = {column: _with_null(values, start) for column, values in parts.items() if column not in many}
    few = {column: places for column, places in columns.items() if _are_few(len(places), start)}
    return dict(itertools.islice(few.items(), MOST_COLUMNS))


def _sources(prompts: Sequence[Prompt]) -> Iterator[pa.StringArray]:
    """The prompts' rows as JSON, not many at once."""
    import pyarrow as pa

    columns: Iterable[pa.ChunkedArray]
    if isinstance(prompts, Prompts):
        columns = prompts.chunks("source")
    else:
        columns = [pa.chunked_array([[prompt.source for prompt in prompts]], pa.string())]
    chunks = (chunk for column in columns for chunk in column.chunks)
    held: list[pa.StringArray] = []
    for piece in (chunk.slice(start, _ROWS) for chunk in chunks for start in range(0, len(chunk), _ROWS)):
        held.append(piece)
        if sum(map(len, held)) >= _ROWS:
            yield pa.concat_arrays(held)
            held = []
    if held:
        yield pa.concat_arrays(held)


def _with_null(parts: dict[str, list[np.ndarray]], count: int) -> Places:
    """The places of each value, and those of none under null."""
    places = {value: np.concatenate(own) for value, own in parts.items()}
    absent = np.ones(count, bool)
    for value, own in places.items():
        absent[own] = value == "null"
    if absent.any():
        places["null"] = np.flatnonzero(absent)
    return places


def _read(sources: Sequence[str], without: Collection[str | None]) -> dict[str, dict[str, list[int]]]:
    """By column of JSON rows, the places of each value."""
    found: dict[str, dict[str, list[int]]] = {}
    for place, source in enumerate(sources):
        for column, value in dict(_scalars(json.loads(source))).items():
            if column not in without:
                found.setdefault(column, {}).setdefault(value, []).append(place)
    return found


def _read_fast(sources: pa.StringArray, without: Collection[str | None]) -> dict[str, Places] | None:
    """As `_read`, without the places of null, ten times as fast; None for values that Arrow would write otherwise."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.json import ReadOptions, read_json

    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(sources)], sources), "\n")
    content = lines[0].as_buffer()
    try:
        table = read_json(pa.BufferReader(content), ReadOptions(use_threads=False, block_size=content.size + 1))
    except pa.ArrowException:  # a column of several types
        return None
    if len(table) != len(sources):
        return None
    found = {}
    for name, column in zip((table := _flat(table)).column_names, table.columns, strict=True):
        kind = column.type
        if name in without or pa.types.is_list(kind) or pa.types.is_struct(kind):
            continue
        if not (
            pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
        ):
            return None
        encoded = column.combine_chunks().dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy()
        enough = encoded.dictionary[: MOST_VALUES + 1].to_pylist()  # more are told apart by no one
        places = [np.flatnonzero(codes == code) for code in range(len(enough))]
        texts = [value if isinstance(value, str) else json.dumps(value) for value in enough]
        found[name] = dict(zip(texts, places, strict=True))
    return found


def _flat(table: pa.Table) -> pa.Table:
    """The columns inside others beside them, under their dotted names."""
    return table.flatten() if any(str(kind).startswith("struct") for kind in table.schema.types) else table


def _values(places: Places, count: int) -> list[str]:
    """The value at each of `count` places."""
    values = [""] * count
    for value, own in places.items():
        for place in own.tolist():
            values[place] = value
    return values


def _are_few(values: int, rows: int) -> bool:
    return FEWEST_VALUES <= values <= MOST_VALUES and values * FEWEST_PROMPTS <= rows


def _scalars(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and text of each value that is no list, one level deep."""
    for name, value in row.items():
        if isinstance(value, dict) and not prefix:
            yield from _scalars(value, f"{name}.")
        elif not isinstance(value, dict | list):
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)
