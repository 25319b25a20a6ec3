"""Files of rows: JSON lines, or Parquet, in which a column of mixed kinds is stored as JSON texts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from learnalign.errors import InputError
from learnalign.handoff.format import Format, Row
from learnalign.outputs import is_stdout, is_stream
from learnalign.rundir.files import as_json

JSONL, PARQUET = ".jsonl", ".parquet"


def kind_for(path: Path, name: str, format: Format) -> str:
    """The kind of file, by its ending, that `-o PATH` makes of the format `name`.

    Raises InputError for Parquet if the format has none of it.
    """
    stream = is_stdout(path) or is_stream(path)
    if path.suffix.lower() == PARQUET and not stream:
        if PARQUET not in format.suffixes:
            raise InputError(f"-o {path}: the format {name} is JSON lines; name the file .jsonl")
        return PARQUET
    if not stream and path.suffix.lower() in (".csv", ".tsv", ".xlsx", ".arrow"):
        raise InputError(
            f"-o {path}: subsets are written as .jsonl" + (" or .parquet" if PARQUET in format.suffixes else "")
        )
    return JSONL


def write_rows(file: BinaryIO, format: Format, rows: Sequence[Row | str], kind: str) -> None:
    """Write rows as JSON lines or as Parquet: the same bytes for the same rows."""
    if kind == PARQUET or format.uniform:
        rows = uniform_rows([row for row in rows if isinstance(row, dict)])
    if kind == PARQUET:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([*rows]), file, compression="zstd")
        return
    for row in rows:
        file.write(f"{row if isinstance(row, str) else as_json(row)}\n".encode())


def uniform_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows whose columns are of one kind each: values of a column that is not become JSON texts."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: uniform([row.get(name) for row in rows]) for name in names}
    return [{_name(name): columns[name][i] for name in names} for i in range(len(rows))]


def uniform(values: Sequence[Any]) -> Sequence[Any]:
    """The values of one column; of objects that mix kinds in some fields, those fields become JSON texts, else all values."""
    if is_storable(values):
        return values
    if all(isinstance(value, dict) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        mixed = [name for name in names if not is_storable([value.get(name) for value in values])]
        if mixed and len(mixed) < len(names):
            return [{_name(n): _text(v) if n in mixed else v for n, v in value.items()} for value in values]
    return [_text(value) for value in values]


def is_storable(values: Sequence[Any]) -> bool:
    """Whether Parquet can hold the values as one column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(pa.table({"column": pa.array(values)}), io.BytesIO())
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _name(name: str) -> str:
    """A column's name in Unicode: half a surrogate pair is written as JSON writes it."""
    return name.encode("utf-8", "backslashreplace").decode()


def _text(value: Any) -> str | None:
    return None if value is None else as_json(value)
