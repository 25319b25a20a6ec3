"""Tensors as safetensors, without pickle and without a copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from learnalign.errors import one_line
from learnalign.rundir.files.content import content_of, damaged, is_listed, verified
from learnalign.rundir.files.parquet import FINGERPRINT, ROWS
from learnalign.rundir.files.whole import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

CHECKSUM = "learnalign.xxh3"  # of a file's data, for those that are in no run directory


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


def read_safetensors(path: Path, check: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file, without a copy; raises RunError if the file is missing or damaged.

    Without `check`, for a file that this process has checked before, its data are not compared with what was written.
    """
    import torch
    from safetensors.torch import _TYPES as types

    content = content_of(path)
    check = check and not is_listed(path, content)  # else the digest of the manifest covers all of it
    header, start = _header(path, content)
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        begin, end = (start + offset for offset in about["data_offsets"])
        kind: torch.dtype = types[about["dtype"]]  # type: ignore[assignment]
        empty = torch.empty(0, dtype=torch.uint8)  # `frombuffer` refuses to make one
        raw = torch.frombuffer(content, dtype=torch.uint8, offset=begin, count=end - begin) if end > begin else empty
        tensors[name] = raw.view(kind).view(about["shape"])
    if check and metadata.get(CHECKSUM, digest := _digest(tensors)) != digest:
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


def peek_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file by its header alone, whatever its data: for a look at files that are large."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (ValueError, MemoryError, OverflowError) as error:
        raise damaged(path, f"no safetensors header: {one_line(error, 100)}") from None
    return header.get("__metadata__", {})  # type: ignore[no-any-return]
