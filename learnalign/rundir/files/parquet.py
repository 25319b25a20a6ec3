"""Tables as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from learnalign.errors import one_line
from learnalign.rundir.files.content import damaged, verified
from learnalign.rundir.files.whole import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

FINGERPRINT = "learnalign.fingerprint"
ROWS = "learnalign.rows"


def write_parquet(path: Path, table: pa.Table, fingerprint: str, rows: str = "") -> None:
    """Write `table` with `fingerprint` in the file's metadata; `rows` says which rows of the pool a shard is of."""
    import pyarrow.parquet as pq

    metadata = {
        **(table.schema.metadata or {}),
        FINGERPRINT.encode(): fingerprint.encode(),
        ROWS.encode(): rows.encode(),
    }
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd", write_page_checksum=True)


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
