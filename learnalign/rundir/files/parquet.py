"""Tables as Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from learnalign.errors import one_line
from learnalign.rundir.files.content import damaged, has_changed, missing, verified
from learnalign.rundir.files.whole import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

FINGERPRINT = "learnalign.fingerprint"
ROWS = "learnalign.rows"
_LOOKED_AT = 10_000  # rows and values


def write_parquet(path: Path, table: pa.Table | Iterable[pa.Table], fingerprint: str, rows: str = "") -> None:
    """Write a table, or one in groups of rows, with `fingerprint` in its metadata; `rows` says which rows of the pool a shard is of."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    groups = iter([table] if isinstance(table, pa.Table) else table)
    first = next(groups)
    about = {FINGERPRINT.encode(): fingerprint.encode(), ROWS.encode(): rows.encode()}
    schema = first.schema.with_metadata({**(first.schema.metadata or {}), **about})
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary, schema, compression="zstd", write_page_checksum=True, use_dictionary=_repeating(first)
        ) as writer,
    ):
        for group in itertools.chain([first], groups):
            writer.write_table(group)


def _repeating(table: pa.Table) -> list[str]:
    """The columns whose values repeat, as far as the first ones tell: of the others, a dictionary would be begun in vain."""
    first = table.slice(0, _LOOKED_AT)
    leaves = [leaf for name in first.column_names for leaf in _leaves(name, first[name].combine_chunks())]
    some = [(path, values[:_LOOKED_AT]) for path, values in leaves]
    return [path for path, values in some if 2 * len(values.unique()) <= len(values)]


def _leaves(path: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """The values inside lists and structs, by what Parquet calls their columns."""
    import pyarrow.types as types

    if types.is_list(values.type):
        yield from _leaves(f"{path}.list.element", values.flatten())
    elif types.is_struct(values.type):
        for field, inside in zip(values.type, values.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", inside)
    else:
        yield path, values


def parquet_groups(path: Path, columns: list[str]) -> tuple[list[int], Callable[[int, list[str] | None], pa.Table]]:
    """The sizes of a table's groups of rows, and what reads columns (None: all) of the group of a number.

    Raises RunError if the file is missing, damaged, or lacks one of the `columns`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise missing(path)
    if has_changed(path):
        raise damaged(path)
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, one_line(error, 200)) from None
    if lacking := set(columns) - set(file.schema_arrow.names):
        raise damaged(path, f"it has no column {', '.join(sorted(lacking))}")

    def read(group: int, columns: list[str] | None) -> pa.Table:
        try:
            return file.read_row_group(group, columns, use_threads=False)  # too few rows to share
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged(path, one_line(error, 200)) from None

    return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)], read


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table; raises RunError if the file is missing, damaged, or lacks a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = verified(path)
    try:
        table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read(columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, one_line(error, 200)) from None
    if lacking := set(columns or ()) - set(table.column_names):
        raise damaged(path, f"it has no column {', '.join(sorted(lacking))}")
    return table
