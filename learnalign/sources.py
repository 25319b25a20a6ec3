"""Rows of a pool's source as JSON text: JSON, JSONL, Parquet and CSV files, directories, hub names."""

from __future__ import annotations

import base64
import csv
import datetime
import decimal
import io
import itertools
import json
import re
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from learnalign import demo
from learnalign.config import DataConfig
from learnalign.errors import InputError, listed_briefly, one_line, short
from learnalign.inputs import (
    COMPRESSIONS,
    SourceRow,
    check_file,
    escaped,
    json_lines,
    kind_of,
    local_path,
    opened,
    parse_json,
    stem_of,
)
from learnalign.rundir.files import as_json, has_changed

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (
    "a .json, .jsonl or .csv file (also .gz or .zst), a .parquet file, a directory of .parquet or .jsonl files or saved by "
    "`datasets`, or a hub name"
)
_TOGETHER = 512  # rows of a Parquet file
BINARY = "base64"  # the one key of a value that is bytes, not text
_SHARD = re.compile(r"-\d+-of-\d+$|(?<=[a-z])\d+$")  # train-00000-of-00002, test2
_SPLITS = {"train", "test", "validation", "valid", "val", "dev", "eval"}
_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


def local_source(data: DataConfig) -> Path | None:
    """The file or directory that `data.path` names, None for a hub name; raises InputError if it is no kind of source."""
    path = demo.POOLS.get(data.path) or local_path(data.path, "data.path")
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"data.path {path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        if not _is_saved(path):
            _shards(path, data)
        return path
    check_file(path, "data.path")
    if _reader(path) is None:
        raise InputError(f"data.path {path}: unknown kind of file {short(path.suffix)}; give {FORMATS}")
    return path


def read_rows(data: DataConfig) -> Iterator[SourceRow]:
    """Yield every row of the source, at most `data.limit`, as JSON text and object; a JSONL line keeps its text. A CSV row with
    more or fewer fields than the header has a fault, and the cells that have a column. Rows of a directory have no line.

    Of what JSON has no form for, times are ISO 8601 texts, durations seconds, decimals texts, and bytes text if they are
    UTF-8, else {"base64": …}. Raises InputError naming the file, the line and a way out if the source is missing or not
    of the kind its name says.
    """
    path, parts = local_source(data), parts_of(data)
    if path is None:
        rows = _hub_rows(data)
    elif not parts:
        rows = _saved_rows(path, data)
    elif parts == [path]:
        rows = READERS[kind_of(path)](path)
    else:
        read = itertools.chain.from_iterable(READERS[kind_of(file)](file) for file in parts)
        rows = (row._replace(line=0) for row in read)
    return itertools.islice(rows, data.limit)


def parts_of(data: DataConfig) -> list[Path]:
    """The files whose rows are those of the source: itself, or a directory's shards; none if `datasets` reads it."""
    path = local_source(data)
    if path is None:
        return []
    if path.is_dir():
        return [] if _is_saved(path) else _shards(path, data)
    if has_changed(path):
        raise InputError(
            f"data.path {path}: it is not what was written there, and so is no result of this run directory; make it again "
            "(`learnalign status DIR --repair`), or copy it to another place to use it as it is"
        )
    return [path]


def _reader(path: Path) -> Reader | None:
    kind = kind_of(path)
    return None if kind == ".parquet" and path.suffix.lower() in COMPRESSIONS else READERS.get(kind)


def _json_rows(path: Path) -> Iterator[SourceRow]:
    try:
        with opened(path) as file:
            content = parse_json(file.read().decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(
            f"{path}: {one_line(error, 200)}; a .json file must be one list of objects (one object a line: .jsonl)"
        ) from None
    if isinstance(content, dict):  # {"data": [...]}: the one list that it holds
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise InputError(f"{path}: expected a list of objects; write one object a line and name the file .jsonl")
    return (SourceRow(as_json(row), row) for row in content)


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    import pyarrow.parquet as pq

    def batches() -> Iterator[pa.RecordBatch]:
        with opened(path) as file:
            yield from pq.ParquetFile(file, page_checksum_verification=True).iter_batches(_TOGETHER)

    return _arrow_rows(batches, f"{path}", "not a Parquet file, or damaged")


def _csv_rows(path: Path) -> Iterator[SourceRow]:
    csv.field_size_limit(sys.maxsize)
    separator = _separator(path)
    with opened(path) as file:
        reader = csv.reader(_csv_text(file), strict=True, delimiter=separator)
        header: list[str] = []
        end = 0
        try:
            for row in reader:
                line, end = end + 1, reader.line_num
                if not row:
                    continue
                if not header:
                    header = _distinct(row, f"{path}, line {line}")
                    continue
                counts = f"{len(row)}, the header has {len(header)}"
                fault = f"another number of fields than the header: {counts}" if len(row) != len(header) else None
                cells = dict(zip(header, row, strict=False))
                yield SourceRow(as_json(cells), cells, line, fault)
        except (ValueError, csv.Error) as error:
            raise InputError(f"{path}, after line {reader.line_num}: {error}; save it as CSV in UTF-8") from None


def _separator(path: Path) -> str:
    """A comma, or the semicolon or tab that some programs write: whichever separates more names of the header."""
    try:
        with opened(path) as file:
            header = next((text for text in _csv_text(file) if text.strip()), "")
    except ValueError:  # the reader says where
        return ","
    return max(",;\t", key=re.sub(r'"[^"]*"', "", header).count)


def _distinct(names: list[str], where: str) -> list[str]:
    """The columns' names; raises InputError if one is there twice."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: the column {short(twice)} is there twice; rename one")
    return names


def _csv_text(file: BinaryIO) -> Iterator[str]:
    """The lines as text; raises ValueError for what is not UTF-8 or no text."""
    for text in io.TextIOWrapper(file, encoding="utf-8-sig", newline=""):
        if "\0" in text:
            raise ValueError("it has a NUL byte")
        yield text


def _is_saved(path: Path) -> bool:
    """Whether `datasets` saved this directory."""
    return any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def _saved_rows(path: Path, data: DataConfig) -> Iterator[SourceRow]:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
        if isinstance(loaded, datasets.DatasetDict):
            if data.split not in loaded:
                raise InputError(f"data.split {data.split}: {path} has {listed_briefly(loaded)}")
            loaded = loaded[data.split]
    except InputError:
        raise
    except Exception as error:  # the library fails on a damaged file with whatever comes of it
        raise InputError(f"data.path {path}: `datasets` cannot load it ({one_line(error, 300)})") from None
    return _dataset_rows(loaded, f"data.path {path}")


def _shards(path: Path, data: DataConfig) -> list[Path]:
    """A directory's files in the order of their names; of several splits (train-00000-of-00002.parquet, test.jsonl and
    test2.jsonl), those of `data.split`."""
    try:
        files = sorted(file for file in path.iterdir() if file.name[0] != "." and _reader(file))
    except OSError as error:
        raise InputError(f"data.path {path}: {error.strerror}") from None
    kinds = sorted({kind_of(file) for file in files})
    if kinds not in ([".parquet"], [".jsonl"]):
        held = f"it holds {' and '.join(kinds)} files" if kinds else "it holds no .parquet or .jsonl file"
        raise InputError(f"data.path {path}: {held}; give {FORMATS}")
    for file in files:
        check_file(file, "data.path")
    splits = {file: _SHARD.sub("", stem_of(file)) for file in files}
    if len(set(splits.values())) > 1 and not _SPLITS.isdisjoint(splits.values()):
        files = [file for file in files if splits[file] == data.split]
        if not files:
            raise InputError(f"data.split {data.split}: {path} has {listed_briefly(sorted(set(splits.values())))}")
    return files


def _hub_rows(data: DataConfig) -> Iterator[SourceRow]:
    named = data.path.startswith((".", "/", "~")) or kind_of(Path(data.path)) in READERS
    if named or not _HUB_NAME.fullmatch(data.path):
        raise InputError(f"data.path {one_line(data.path, 300)}: no such file; give {FORMATS}")
    import datasets
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as loaders

    if data.path in loaders:  # it would read whatever files the current directory holds
        raise InputError(f"data.path {data.path}: this is a loader of `datasets`, not a data set; give {FORMATS}")
    try:
        loaded = datasets.load_dataset(data.path, data.name, split=data.split)
    except Exception as error:  # the hub, the network and the data set's own files each fail in their own ways
        raise InputError(
            f"data.path {data.path}: not a file, and the hub has no such dataset or cannot be reached ({one_line(error, 300)})"
        ) from None
    return _dataset_rows(loaded, f"data.path {data.path}")


def _dataset_rows(loaded: Any, where: str) -> Iterator[SourceRow]:
    """The rows of a `datasets.Dataset` as they are stored: images and sounds stay bytes."""
    tables = loaded.with_format("arrow")
    return _arrow_rows(lambda: (batch for table in tables.iter(1000) for batch in table.to_batches()), where, "damaged")


def _arrow_rows(batches: Callable[[], Iterator[pa.RecordBatch]], where: str, damaged: str) -> Iterator[SourceRow]:
    import pyarrow as pa

    count, place = 0, ""
    try:
        for batch in batches():
            place = f", row {count}"
            batch.validate(full=True)  # of a damaged file, offsets may point anywhere
            _distinct(batch.schema.names, where)
            if all(map(_is_plain, batch.schema.types)):
                yield from _plain_rows(batch)
                count += len(batch)
                continue
            for row in batch.to_pylist():
                place = f", row {count}"
                text = as_json(row, default=_plain)
                yield SourceRow(text, json.loads(text))
                count += 1
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise InputError(f"{where}{place}: {damaged} ({one_line(error, 200)})") from None


def _plain_rows(batch: pa.RecordBatch) -> Iterator[SourceRow]:
    """The rows of plain columns, as `as_json` would write them."""
    import pyarrow.types as types

    values, texts = [], []
    for column in batch.columns:
        if _is_text(column.type):
            values.append(column.to_numpy(zero_copy_only=False).tolist())  # faster than to_pylist
            inner = escaped(["" if value is None else value for value in values[-1]])
            texts.append(["null" if v is None else f'"{text}"' for v, text in zip(values[-1], inner, strict=True)])
        else:
            values.append(column.to_pylist())
            as_text = str if types.is_integer(column.type) else as_json
            texts.append(["null" if value is None else as_text(value) for value in values[-1]])
    names = batch.schema.names
    keys = [as_json(name).replace("%", "%%") for name in names]
    form = "{" + ", ".join(f"{key}: %s" for key in keys) + "}"
    if not names:
        return map(SourceRow, ["{}"] * len(batch), batch.to_pylist())
    rows = (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))
    return map(SourceRow, (form % row for row in zip(*texts, strict=True)), rows)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return types.is_string(kind) or types.is_large_string(kind)


def _is_plain(kind: pa.DataType) -> bool:
    """Whether JSON has the values of a column as they are."""
    import pyarrow.types as types

    return any(
        is_one(kind)
        for is_one in (types.is_string, types.is_large_string, types.is_integer, types.is_float64, types.is_boolean)
    )


def _plain(value: Any) -> Any:
    """The JSON form of a value of Parquet that has none of its own; raises TypeError if there is none."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {BINARY: base64.b64encode(value).decode()}
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


Reader = Callable[[Path], Iterator[SourceRow]]
READERS: dict[str, Reader] = {".jsonl": json_lines, ".json": _json_rows, ".parquet": _parquet_rows, ".csv": _csv_rows}
