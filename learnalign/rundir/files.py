"""Files that appear whole or not at all, and name the settings they were made with.

A file is written to a temporary name beside its own, flushed to disk and renamed. Parquet files carry page checksums,
safetensors files a SHA-256 of their tensors, and both the fingerprint of the settings that made them.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign.errors import RunError, one_line

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

FINGERPRINT = "learnalign.fingerprint"
CHECKSUM = "learnalign.sha256"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed, on failure nothing is left."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        for each in [*temporary.rglob("*"), temporary]:  # all files of a directory
            _sync(each)
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                temporary.unlink()


def remove_leftovers(path: Path) -> None:
    """Delete what a killed process left of `path` half-written; no other process may be writing it."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


def disk_error(path: Path, error: OSError) -> Exception:
    """A RunError with a way out if the disk refused the write; any other error unchanged."""
    reasons = {
        errno.ENOSPC: "no space left on the disk; free some or move the run directory, then run the same command again",
        errno.EROFS: "the disk is read-only; choose a run directory on another one",
        errno.EACCES: "no permission to write there; change it or choose another run directory",
        errno.EPERM: "no permission to write there; change it or choose another run directory",
        errno.ENOTDIR: "a file is in the place of a directory; choose another run directory",
    }
    reason = reasons.get(error.errno or 0)
    return RunError(f"cannot write {path}: {reason}") if reason else error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def as_json(value: Any, **options: Any) -> str:
    """`value` as JSON, in Unicode if that can be written (half a surrogate pair cannot), else escaped."""
    text = json.dumps(value, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, **options)
    return text


def write_json(path: Path, value: Any) -> None:
    write_text(path, as_json(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(as_json(row) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows`, at least one, with the first one's keys as header; None is an empty field."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def write_parquet(path: Path, table: pa.Table, fingerprint: str) -> None:
    """Write `table` with page checksums and `fingerprint` in the file's metadata."""
    import pyarrow.parquet as pq

    metadata = {**(table.schema.metadata or {}), FINGERPRINT.encode(): fingerprint.encode()}
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd", write_page_checksum=True)


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table, verifying its checksums; raises RunError if the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read(columns)
    except (pa.ArrowException, OSError) as error:
        if not path.is_file():
            raise
        raise _damaged(path, error) from None


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], fingerprint: str) -> None:
    """Write contiguous CPU `tensors` with `metadata`, their SHA-256 and `fingerprint`."""
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    full = {**metadata, FINGERPRINT: fingerprint, CHECKSUM: _digest(tensors)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=full)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file, verified; raises RunError if the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in list(file.keys())}, file.metadata() or {}
    except SafetensorError as error:
        raise _damaged(path, error) from None
    if metadata.get(CHECKSUM, digest := _digest(tensors)) != digest:
        raise _damaged(path, ValueError("checksum differs"))
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file, without its tensors; raises RunError if the header is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise _damaged(path, error) from None


def _digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{list(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fingerprint_of(path: Path) -> str | None:
    """The fingerprint a Parquet or safetensors file was written with, after verifying it; None for a damaged file."""
    try:
        if path.suffix == ".parquet":
            metadata = read_parquet(path).schema.metadata or {}
            return metadata.get(FINGERPRINT.encode(), b"").decode() or None
        return read_safetensors(path)[1].get(FINGERPRINT)
    except RunError:
        return None


def is_done(path: Path, fingerprint: str) -> bool:
    """Whether `path` exists, undamaged, made with the settings of `fingerprint`."""
    return path.is_file() and fingerprint_of(path) == fingerprint


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} is damaged ({one_line(error, 200)}); delete it and run the command that made it again")
