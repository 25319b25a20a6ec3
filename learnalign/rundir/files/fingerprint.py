"""Which settings and rows of the pool a Parquet or safetensors file was made with."""

from __future__ import annotations

from pathlib import Path

from learnalign.errors import RunError
from learnalign.rundir.files.content import verified
from learnalign.rundir.files.parquet import FINGERPRINT, ROWS, read_parquet
from learnalign.rundir.files.tensors import read_metadata, read_safetensors
from learnalign.rundir.manifest import manifest_of


def fingerprint_of(path: Path) -> str | None:
    """The fingerprint a Parquet or safetensors file was written with; None for a missing or damaged file."""
    return _about(path).get(FINGERPRINT)


def _about(path: Path) -> dict[str, str]:
    """Our own metadata of a Parquet or safetensors file; none of a missing or damaged file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        manifest = manifest_of(path)
        listed = manifest is not None and bool(manifest.expected(path))  # then the digest covers all of it
        if path.suffix != ".parquet":
            return read_metadata(path) if listed else read_safetensors(path)[1]
        schema = pq.read_schema(pa.BufferReader(verified(path))) if listed else read_parquet(path).schema
        metadata = schema.metadata or {}
        return {key.decode(): value.decode() for key, value in metadata.items() if key.startswith(b"learnalign.")}
    except (RunError, pa.ArrowException, OSError, ValueError):
        return {}


def is_done(path: Path, fingerprint: str, rows: str = "") -> bool:
    """Whether `path` exists, undamaged, made with the settings of `fingerprint`, and is of these rows."""
    about = _about(path)
    return about.get(FINGERPRINT) == fingerprint and (not rows or about.get(ROWS, rows) == rows)
