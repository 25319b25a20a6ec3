"""Tensors as safetensors, without pickle and without a copy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from learnalign.errors import one_line
from learnalign.rundir.files.content import Buffer, content_of, damaged, is_listed, verified
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


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file, without a copy; raises RunError if the file is missing or damaged."""
    import torch
    from safetensors.torch import _TYPES as types

    content = content_of(path)
    listed = is_listed(path, content)  # then the digest of the manifest covers all of it
    header, start = _header(path, content)
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        begin, end = (start + offset for offset in about["data_offsets"])
        kind: torch.dtype = types[about["dtype"]]  # type: ignore[assignment]
        empty = torch.empty(0, dtype=torch.uint8)  # `frombuffer` refuses to make one
        raw = torch.frombuffer(content, dtype=torch.uint8, offset=begin, count=end - begin) if end > begin else empty
        tensors[name] = raw.view(kind).view(about["shape"])
    if not listed and metadata.get(CHECKSUM, digest := _digest(tensors)) != digest:
        raise damaged(path)
    return tensors, metadata


@dataclass(frozen=True)
class Place:
    """Where the numbers of an array lie in a file: from byte `start` on, of NumPy's type `kind`."""

    path: Path
    start: int
    kind: str
    shape: tuple[int, ...]

    def view(self, content: bytearray | memoryview) -> np.ndarray:
        """The array in the file's content, without a copy."""
        import numpy as np

        return np.ndarray(self.shape, self.kind, content, self.start)

    def read(self, buffer: Buffer) -> np.ndarray:
        """The array, read from the file and not compared with what was written, for one that this process has checked before."""
        import numpy as np

        size = math.prod(self.shape) * np.dtype(self.kind).itemsize
        content = buffer.read(self.path, self.start, size)
        if len(content) < size:
            raise damaged(self.path, "it has become shorter")
        return np.ndarray(self.shape, self.kind, content)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read_safetensors`, for numbers that NumPy has, without torch, for files of a run directory."""
    content = verified(path)
    places, metadata = _places(path, content)
    return {name: place.view(content) for name, place in places.items()}, metadata


def read_places(path: Path, buffer: Buffer) -> tuple[dict[str, np.ndarray], dict[str, str], dict[str, Place]]:
    """Arrays, in the `buffer`, and metadata as `read_safetensors` gives them, and from where each array can be read again."""
    content = buffer.read(path)
    if not is_listed(path, content):
        read_safetensors(path)  # compares the data with the digest in the file
    places, metadata = _places(path, content)
    return {name: place.view(content) for name, place in places.items()}, metadata, places


_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}


def _places(path: Path, content: bytearray | memoryview) -> tuple[dict[str, Place], dict[str, str]]:
    """Where the arrays of a file are, and its metadata."""
    header, start = _header(path, content)
    metadata = header.pop("__metadata__", {})
    places = {}
    for name, about in header.items():
        if about["dtype"] not in _KINDS:
            raise damaged(path, f"{name} holds {about['dtype']}")
        begin, kind, shape = start + about["data_offsets"][0], _KINDS[about["dtype"]], tuple(about["shape"])
        places[name] = Place(path, begin, kind, shape)
    return places, metadata


def _header(path: Path, content: bytearray | memoryview) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begins."""
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(bytes(content[8:start]))
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
