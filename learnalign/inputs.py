"""Files that a user names: looked at before they are read, opened as bytes, and their JSON, line by line.

Whatever the file holds, the answer is its content or an InputError that names the file, and the line if it has lines.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from json.encoder import encode_basestring as as_text
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from learnalign.errors import InputError, one_line, short

COMPRESSIONS = (".gz", ".zst")
DEEPEST = 100  # levels of nesting in JSON: later readers, TRL's and the trainers' among them, walk it by recursion


class SourceRow(NamedTuple):
    """A row as JSON text and as that text's object; `line`, from 1, is where it begins in a file of lines, 0 if it is in none.
    `fault` says why it cannot be used as it is.
    """

    text: str
    row: dict[str, Any]
    line: int = 0
    fault: str | None = None


def is_url(text: str) -> bool:
    """Whether `text` names a place by a scheme, such as s3://bucket/run."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def local_path(text: str, name: str) -> Path:
    """The path that `text` means; raises InputError, which begins with `name`, for text that cannot be a path."""
    try:
        path = Path(text).expanduser()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.lstat()
    except (RuntimeError, ValueError, OSError) as error:  # ~nosuchuser, a NUL, a name that is too long
        raise InputError(f"{name} {short(text, 200)}: not a path ({one_line(error, 200)})") from None
    return path


def check_file(path: Path, name: str = "") -> None:
    """Raise InputError, which begins with `name` and the path, unless `path` is a file."""
    name = f"{name} {path}".lstrip()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: {_said(error)}") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{name}: this is a directory; give a file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name}: this is a pipe, socket or device; give a file")


def state_of(file: Path | int) -> list[int]:
    """What changes with a file, given by its path or descriptor, when it is written or replaced."""
    status = os.stat(file)
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


def kind_of(path: Path) -> str:
    """The ending that says what a file holds, such as .jsonl for pool.jsonl and pool.JSONL.gz."""
    return Path(_without_compression(path)).suffix.lower()


def is_parquet(path: Path) -> bool:
    """Whether the file has rows, counted from 0, in place of lines; raises InputError if it was compressed once more."""
    if kind_of(path) == ".parquet" and path.suffix.lower() in COMPRESSIONS:
        raise InputError(f"{path}: compressed Parquet; unpack it (its columns are compressed already)")
    return path.suffix.lower() == ".parquet"


def stem_of(path: Path) -> str:
    """The name of a file without its endings."""
    return Path(_without_compression(path)).stem


def _without_compression(path: Path) -> str:
    return path.stem if path.suffix.lower() in COMPRESSIONS else path.name


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed by its ending; raises InputError if they cannot be read to the end."""
    with readable(path), contextlib.ExitStack() as stack:
        yield _open(path, stack)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise InputError if the block cannot read `path`."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {_said(error)}") from None


def _open(path: Path, stack: contextlib.ExitStack) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        return cast(BinaryIO, stack.enter_context(gzip.open(path)))
    if path.suffix.lower() == ".zst":
        import pyarrow as pa

        source = stack.enter_context(pa.input_stream(str(path), compression="zstd"))
        return cast(BinaryIO, io.BufferedReader(source))
    return stack.enter_context(path.open("rb"))


def json_lines(path: Path, name: str = "") -> Iterator[SourceRow]:
    """The objects of a JSONL file; blank lines are passed over. Errors of a line begin with `name` and the path."""
    where = f"{name} {path}".lstrip()
    with opened(path) as file:
        for number, raw in enumerate(file, 1):
            if row := json_line(raw, number, where):
                yield row


def json_line(raw: bytes, number: int, where: str) -> SourceRow | None:
    """The object of line `number` of a JSONL file, None for a blank one; raises InputError, which begins with `where`."""
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        if not text:
            return None
        row = parse_json(text)
        if not isinstance(row, dict):
            raise ValueError(f"this is a {json_kind(row)}, not a JSON object")
    except ValueError as error:
        reason = f"{where}, line {number}: {one_line(error, 200)}; every line must be one JSON object in UTF-8"
        raise InputError(reason) from None
    return SourceRow(text, row, number)


def parse_json(text: str, finite: bool = False) -> Any:
    """The value of a JSON text; raises ValueError if it is none, has a key twice, or is nested too deep.

    `finite`: NaN, Infinity and numbers too large for a float are no JSON.
    """
    try:
        if text.startswith("\ufeff"):
            raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
        decoder = _FINITE if finite else _DECODER
        value, end = decoder.raw_decode(text) if text[:1] in ("{", "[") else (None, 0)
        if not end or end < len(text):  # nothing, white space around it, no object or list, or more than one value
            value = decoder.decode(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    flat = "[" not in text and text.find("{", 1) < 0
    if not flat and text.count("[") + text.count("{") > DEEPEST:
        level = [value]
        for _ in range(DEEPEST):
            level = [child for one in level for child in _children(one)]
        if level:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {short(twice)} is there twice")
    return row


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {short(text, 40)} is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object)  # made once: json.loads makes one a text
_FINITE = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def escaped(texts: list[str]) -> list[str]:
    """What stands between the quotes of these texts, which have no half of a surrogate pair, in JSON; faster than one by one."""
    joined = "\0".join(texts)
    content = joined.encode()
    if len(content) - len(content.translate(None, _RARE)) != len(texts) - 1:  # more than what is between the texts
        return [as_text(text)[1:-1] for text in texts]
    for plain, escape in _ESCAPES.items():
        if plain in joined:  # quicker to see than to replace nothing
            joined = joined.replace(plain, escape)
    return joined.split("\0")


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_RARE = bytes({*range(32)} - {*b"\n\t\r"})  # other characters that JSON escapes


def json_kind(value: Any) -> str:
    """What JSON calls a value."""
    kinds = {dict: "JSON object", list: "list", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return kinds.get(type(value), "string")


def _said(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error, 200) or type(error).__name__
