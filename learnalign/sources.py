"""Rows of a pool's source as JSON text: JSON, JSONL, Parquet and CSV files, directories, hub names."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from learnalign import demo
from learnalign.config import DataConfig
from learnalign.errors import InputError, one_line
from learnalign.rundir.files import as_json

FORMATS = "a .json, .jsonl, .parquet or .csv file, a directory of .parquet or .jsonl files or saved by `datasets`, or a hub name"
_SHARD = re.compile(r"-\d+-of-\d+$")
_SPLITS = {"train", "test", "validation", "valid", "val", "dev", "eval"}


def local_source(data: DataConfig) -> Path | None:
    """The file or directory that `data.path` names; None for a hub name."""
    path = demo.POOL if data.path == "demo" else Path(data.path).expanduser()
    return path if path.exists() else None


def read_rows(data: DataConfig) -> Iterator[str]:
    """Yield every row of the source, at most `data.limit`, as JSON text; a JSONL line keeps its text.

    Raises InputError naming the file, the line and a way out if the source is missing or not of the kind its name says.
    """
    path = local_source(data)
    if path is None:
        rows = _hub_rows(data)
    elif path.is_dir():
        rows = _directory_rows(path, data)
    else:
        if path.suffix.lower() not in READERS:
            raise InputError(f"data.path {path}: unknown kind of file {path.suffix!r}; give {FORMATS}")
        rows = READERS[path.suffix.lower()](path)
    return itertools.islice(rows, data.limit)


def _jsonl_rows(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if line and not isinstance(json.loads(line), dict):
                    raise ValueError("not a JSON object")
            except ValueError as error:
                reason = f"{path}, line {number}: {error}; every line must be one JSON object in UTF-8"
                raise InputError(reason) from None
            if line:
                yield line


def _json_rows(path: Path) -> Iterator[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(
            f"{path}: {error}; a .json file must be one list of objects (one object a line: .jsonl)"
        ) from None
    if isinstance(content, dict):  # {"data": [...]}: the one list that it holds
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise InputError(f"{path}: expected a list of objects; write one object a line and name the file .jsonl")
    return _as_json(content)


def _parquet_rows(path: Path) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise InputError(f"{path}: not a Parquet file ({error})") from None
    return _as_json(row for batch in file.iter_batches() for row in batch.to_pylist())


def _csv_rows(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{path}, line {reader.line_num}: fewer or more fields than the header")
                yield as_json(row)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}, after line {reader.line_num}: {error}; save it as CSV in UTF-8") from None


def _directory_rows(path: Path, data: DataConfig) -> Iterator[str]:
    if not ((path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists()):
        return _shard_rows(path, data)
    import datasets

    loaded = datasets.load_from_disk(str(path))
    if isinstance(loaded, datasets.DatasetDict):
        if data.split not in loaded:
            raise InputError(f"data.split {data.split}: {path} has {', '.join(loaded)}")
        loaded = loaded[data.split]
    return _as_json(loaded)


def _shard_rows(path: Path, data: DataConfig) -> Iterator[str]:
    """The rows of a directory's files in the order of their names; of several splits (train-00000-of-00002.parquet,
    test.parquet), those of `data.split`."""
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in READERS and file.name[0] != ".")
    kinds = sorted({file.suffix.lower() for file in files})
    if kinds not in ([".parquet"], [".jsonl"]):
        held = f"it holds {' and '.join(kinds)} files" if kinds else "it holds no .parquet or .jsonl file"
        raise InputError(f"data.path {path}: {held}; give {FORMATS}")
    splits = {file: _SHARD.sub("", file.stem) for file in files}
    if len(set(splits.values())) > 1 and not _SPLITS.isdisjoint(splits.values()):
        files = [file for file in files if splits[file] == data.split]
        if not files:
            raise InputError(f"data.split {data.split}: {path} has {', '.join(sorted(set(splits.values())))}")
    return itertools.chain.from_iterable(READERS[kinds[0]](file) for file in files)


def _hub_rows(data: DataConfig) -> Iterator[str]:
    if data.path.startswith((".", "/", "~")) or Path(data.path).suffix in {".json", ".jsonl", ".parquet", ".csv"}:
        raise InputError(f"data.path {data.path}: no such file; give {FORMATS}")
    import datasets

    try:
        return _as_json(datasets.load_dataset(data.path, data.name, split=data.split))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(
            f"data.path {data.path}: not a file, and the hub has no such dataset or cannot be reached ({one_line(error, 300)})"
        ) from None


def _as_json(rows: Iterable[Any]) -> Iterator[str]:
    for row in rows:
        yield as_json(row, default=str)


READERS = {".jsonl": _jsonl_rows, ".json": _json_rows, ".parquet": _parquet_rows, ".csv": _csv_rows}
