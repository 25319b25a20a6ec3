"""Tensors as safetensors, without pickle and without a copy."""

from __future__ import annotations

import json
import math
import os
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
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, about in header.items():
        try:
            begin, end = (start + offset for offset in about["data_offsets"])
            kind: torch.dtype = types[about["dtype"]]  # type: ignore[assignment]
            empty = torch.empty(0, dtype=torch.uint8)  # `frombuffer` refuses to make one
            raw = (
                torch.frombuffer(content, dtype=torch.uint8, offset=begin, count=end - begin) if end > begin else empty
            )
            tensors[name] = raw.view(kind).view(about["shape"])
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise damaged(path, f"its header says of {name}: {one_line(about, 100)}") from None
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

    @property
    def stop(self) -> int:
        """The first byte behind them."""
        return self.start + math.prod(self.shape) * int(self.kind[-1])

    def view(self, content: bytearray | memoryview) -> np.ndarray:
        """The array in the file's content, without a copy."""
        import numpy as np

        return np.ndarray(self.shape, self.kind, content, self.start)

    def read(self, buffer: Buffer) -> np.ndarray:
        """The array, read from the file and not compared with what was written; valid until the buffer is used again."""
        import numpy as np

        content = buffer.read(self.path, self.start, self.stop - self.start)
        if self.start + len(content) < self.stop:
            raise damaged(self.path, "it has become shorter")
        return np.ndarray(self.shape, self.kind, content)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read_safetensors`, for numbers that NumPy has, without torch, for files of a run directory."""
    content = verified(path)
    places, metadata = _places(path, *_header(path, content))
    return {name: place.view(content) for name, place in places.items()}, metadata


@dataclass(frozen=True)
class Head:
    """What lies before one of a file's arrays: how many bytes, their digest, and what the header says, places of arrays and metadata."""

    size: int
    digest: int
    places: dict[str, Place]
    metadata: dict[str, str]


def read_head(path: Path, name: str, buffer: Buffer) -> tuple[Head, dict[str, np.ndarray]]:
    """What is before the array `name`, and the arrays there, in the `buffer`: not compared with what was written."""
    places, metadata = _places(path, *_peeked(path))
    content = buffer.read(path, 0, places[name].start if name in places else 0)
    head = _head(path, places, metadata, name, content)
    return head, {other: place.view(content) for other, place in places.items() if place.stop <= head.size}


def read_places(path: Path, name: str, buffer: Buffer, head: Head | None = None) -> tuple[Head, dict[str, np.ndarray]]:
    """What is before the array `name`, which must be `head` if that is given, and all arrays, in the `buffer`, as they were written."""
    content = buffer.read(path)
    if not is_listed(path, content):
        read_safetensors(path)  # compares the data with the digest in the file
    if head is None:
        head = _head(path, *_places(path, *_header(path, content)), name, content)
    elif xxhash.xxh3_64_intdigest(content[: head.size]) != head.digest:
        raise damaged(path)
    return head, {other: place.view(content) for other, place in head.places.items()}


def _head(path: Path, places: dict[str, Place], metadata: dict[str, str], name: str, content: memoryview) -> Head:
    if name not in places:
        raise damaged(path, f"it has no tensor {name}")
    size = places[name].start
    if len(content) < size:
        raise damaged(path, "it has become shorter")
    return Head(size, xxhash.xxh3_64_intdigest(content[:size]), places, metadata)


_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}


def peek_places(path: Path) -> tuple[dict[str, Place], dict[str, str]]:
    """Where the arrays of a file are, and its metadata, by its header alone, whatever its data."""
    return _places(path, *_peeked(path))


def _places(path: Path, header: dict[str, Any], start: int) -> tuple[dict[str, Place], dict[str, str]]:
    """Where the arrays of a file are, and its metadata."""
    metadata = header.pop("__metadata__")
    places = {}
    for name, about in header.items():
        try:
            begin, end = about["data_offsets"]
            places[name] = Place(path, start + begin, _KINDS[about["dtype"]], tuple(about["shape"]))
            whole = all(type(number) is int and number >= 0 for number in (begin, end, *about["shape"]))
            fits = whole and places[name].stop == start + end
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise damaged(path, f"its header says of {name}: {one_line(about, 100)}")
    return places, metadata


def _header(path: Path, content: bytearray | memoryview) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begins."""
    start = 8 + int.from_bytes(content[:8], "little")
    return _parsed(path, bytes(content[8:start]), start, len(content))


def _peeked(path: Path) -> tuple[dict[str, Any], int]:
    """`_header`, without the rest of the file; raises FileNotFoundError if it is missing."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = 8 + int.from_bytes(file.read(8), "little")
        return _parsed(path, file.read(start - 8) if start <= size else b"", start, size)


def _parsed(path: Path, text: bytes, start: int, size: int) -> tuple[dict[str, Any], int]:
    """`_header` of a file of `size` bytes whose header is `text` and whose data begins at byte `start`."""
    try:
        header = json.loads(text)
        ends = [value["data_offsets"][1] for name, value in header.items() if name != "__metadata__"]
        header["__metadata__"] = dict(header.get("__metadata__", {}))
        whole = start + max(ends, default=0) == size
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise damaged(path, f"no safetensors header: {one_line(error, 100)}") from None
    if not whole:
        raise damaged(path, "it has another length than its header says")
    return header, start


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file; raises RunError if the file is missing or damaged."""
    return dict(_header(path, verified(path))[0]["__metadata__"])


def peek_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file by its header alone, whatever its data: for a look at files that are large."""
    return dict(_peeked(path)[0]["__metadata__"])
