"""Files that appear whole or not at all, name the settings they were made with, and are read only as they were written.

A file is written to a temporary name beside its own, flushed to disk, entered in the manifest of its run directory (if it
is in one), and renamed. Reading it compares its content with the manifest, in the same pass that uses it.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from learnalign.errors import DiskError, RunError, one_line
from learnalign.rundir.manifest import digest_file, files_of, manifest_of
from learnalign.rundir.stages import command_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from torch import Tensor

FINGERPRINT = "learnalign.fingerprint"
ROWS = "learnalign.rows"
CHECKSUM = "learnalign.xxh3"  # of a safetensors file's data, for those that are in no run directory


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed, on failure nothing is left.

    What stands in a run directory is entered in its manifest. A directory is replaced as a whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        for each in [*temporary.rglob("*"), temporary]:  # all files of a directory
            _sync(each)
        with _entered(path, temporary):
            put(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise disk_error(path, error) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # which the library raises where Python raises OSError
            raise
        raise DiskError(f"cannot write {path}: {one_line(error, 200)}") from error
    finally:
        delete(temporary)


def _entered(path: Path, temporary: Path) -> contextlib.AbstractContextManager[None]:
    """The change of the manifest for what is about to be renamed to `path`; nothing if `path` is in no run directory."""
    manifest = None if _is_temporary(path) else manifest_of(path)
    return contextlib.nullcontext() if manifest is None else manifest.change(path, files_of(temporary))


def _is_temporary(path: Path) -> bool:
    """Whether it is part of a directory that will be renamed as a whole."""
    return any(part.startswith(".") and part.endswith(".tmp") for part in path.parts)


def put(temporary: Path, path: Path) -> None:
    """Rename; an old directory makes room first, since a directory cannot replace another."""
    if not (temporary.is_dir() and path.is_dir()):
        os.replace(temporary, path)
        return
    old = path.with_name(f".{path.name}.{secrets.token_hex(4)}-old.tmp")
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old, path)
        raise
    shutil.rmtree(old)


def remove(path: Path) -> None:
    """Delete a file or directory of a run directory, and its entry in the manifest."""
    manifest = manifest_of(path)
    if not os.path.lexists(path):
        return
    with contextlib.nullcontext() if manifest is None else manifest.change(path, {}):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def remove_leftovers(path: Path) -> None:
    """Delete what a killed process left of `path` half-written; no other process may be writing it."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        delete(temporary)


def delete(path: Path) -> None:
    """Delete a file, link or directory if it is there, whatever the manifest says."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def damaged(path: Path, reason: str = "its content is not what was written") -> RunError:
    """The error for a file that cannot be used as it is, with the way out."""
    manifest = manifest_of(path)
    if manifest is None:
        return RunError(f"{path} is damaged ({reason}); delete it and run the command that made it again")
    if manifest.is_torn():  # a killed command leaves it so too, but then the file is as one of its lines says
        reason += f", as far as {manifest.file} tells, whose end is cut off"
    return RunError(
        f"{path} is damaged ({reason}); make it again with `learnalign status {manifest.root} --repair`, or put it back"
    )


def missing(path: Path) -> RunError:
    """The error for a file that should be there, with the command that makes it."""
    manifest = manifest_of(path)
    root = path.parent if manifest is None else manifest.root
    command = command_of(os.path.relpath(os.path.abspath(path), root)) if manifest else None
    named = {"scores": f" --method {path.stem.partition('-kmeans')[0]}", "signals": f" {path.stem}"}
    made = (
        f"`learnalign {command} {root}{named.get(path.parent.name, '')}` makes it"
        if command
        else f"`learnalign status {root} --repair` may make it"
    )
    return RunError(f"{path} is missing; {made} again")


def verified(path: Path) -> bytearray:
    """The content of a file; raises RunError if it is missing, or is in a run directory and not what was written there."""
    if not path.is_file():
        raise missing(path)
    with path.open("rb", buffering=0) as file:
        content = bytearray(os.fstat(file.fileno()).st_size)
        view, start = memoryview(content), 0
        while start < len(content) and (count := file.readinto(view[start:])):
            start += count
    manifest = None if _is_temporary(path) else manifest_of(path)
    if manifest is None:
        return content
    expected = manifest.expected(path)  # of a file that the user has put there nothing is known
    if expected and (len(content), xxhash.xxh3_128_hexdigest(content)) not in expected:
        raise damaged(path)
    return content


def has_changed(path: Path) -> bool:
    """Whether a file was written by this program into a run directory, and has other content now."""
    manifest = manifest_of(path)
    expected = manifest.expected(path) if manifest else []
    return bool(expected) and digest_file(path) not in expected


def is_own(path: Path) -> bool:
    """Whether a file was written by this program into a run directory, and has that content still."""
    manifest = manifest_of(path)
    return manifest is not None and digest_file(path) in manifest.expected(path)


def is_intact(path: Path) -> bool:
    """Whether a file is there and what was written."""
    try:
        verified(path)
    except RunError:
        return False
    return True


def check_whole(path: Path) -> None:
    """Raise RunError if a directory that was written as a whole, such as a policy, is not what was written."""
    manifest = manifest_of(path / "file")
    if manifest is None or manifest.root == Path(os.path.abspath(path)):
        return
    name = os.path.relpath(os.path.abspath(path), manifest.root)
    stored = manifest.within(name)
    if not manifest.checked.issuperset(stored):
        for file, what in [problem for own in stored for problem in manifest.damage(own).items()]:
            raise missing(manifest.root / file) if what == "missing" else damaged(manifest.root / file)
        manifest.checked |= set(stored)


def disk_error(path: Path, error: OSError) -> Exception:
    """A DiskError with a way out if the disk refused the write; any other error unchanged."""
    reasons = {
        errno.ENOSPC: "no space left on the disk; free some or move the run directory, then run the same command again",
        errno.EIO: "the disk reports an error; look at it, or choose a run directory on another one",
        errno.EROFS: "the disk is read-only; choose a run directory on another one",
        errno.EACCES: "no permission to write there; change it or choose another run directory",
        errno.EPERM: "no permission to write there; change it or choose another run directory",
        errno.ENOTDIR: "a file is in the place of a directory; choose another run directory",
    }
    reason = reasons.get(error.errno or 0)
    return DiskError(f"cannot write {path}: {reason}") if reason else error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


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


def read_text(path: Path) -> str:
    """Text of a file; raises RunError if it is damaged."""
    try:
        return verified(path).decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"not UTF-8: {error.reason}") from None


def read_json(path: Path) -> Any:
    """Value of a JSON file; raises RunError if it is damaged."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not JSON: {one_line(error, 100)}") from None


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(as_json(row) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file; raises RunError if it is damaged."""
    try:
        return [json.loads(line) for line in read_text(path).split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not JSON: {one_line(error, 100)}") from None


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows`, at least one, with the first one's keys as header; None is an empty field."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


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


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], fingerprint: str, rows: str = ""
) -> None:
    """Write contiguous CPU `tensors` with `metadata` and `fingerprint`: the same bytes for the same content."""
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    full = {**metadata, FINGERPRINT: fingerprint, ROWS: rows, CHECKSUM: _digest(tensors)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=full)
        _sort_header(temporary)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{list(tensors[name].shape)}".encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sort_header(path: Path) -> None:
    """Put the header's keys in order: the library writes those of the metadata in a random one."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        text = json.dumps(header, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        assert len(text) <= size, "a header is as long in any order"
        file.seek(8)
        file.write(text.ljust(size))


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file, without a copy; raises RunError if the file is missing or damaged."""
    import torch
    from safetensors.torch import _TYPES as types

    content = verified(path)
    header, start = _header(path, content)
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        begin, end = (start + offset for offset in about["data_offsets"])
        kind: torch.dtype = types[about["dtype"]]  # type: ignore[assignment]
        empty = torch.empty(0, dtype=torch.uint8)  # `frombuffer` refuses to make one
        raw = torch.frombuffer(content, dtype=torch.uint8, offset=begin, count=end - begin) if end > begin else empty
        tensors[name] = raw.view(kind).view(about["shape"])
    if metadata.get(CHECKSUM, digest := _digest(tensors)) != digest:
        raise damaged(path)
    return tensors, metadata


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read_safetensors`, for numbers that NumPy has, without torch, for files of a run directory."""
    import numpy as np

    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
    content = verified(path)
    header, start = _header(path, content)
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, about in header.items():
        begin, end = (start + offset for offset in about["data_offsets"])
        if about["dtype"] not in kinds:
            raise damaged(path, f"{name} holds {about['dtype']}")
        arrays[name] = np.frombuffer(memoryview(content)[begin:end], kinds[about["dtype"]]).reshape(about["shape"])
    return arrays, metadata


def _header(path: Path, content: bytearray) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begins."""
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:start])
        ends = [value["data_offsets"][1] for name, value in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, f"no safetensors header: {one_line(error, 100)}") from None
    if start + max(ends, default=0) != len(content):
        raise damaged(path, "it has another length than its header says")
    return header, start


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file; raises RunError if the file is missing or damaged."""
    return _header(path, verified(path))[0].get("__metadata__", {})


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
