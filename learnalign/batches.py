"""Rows of a pool's source, many at a time: the plain ones are decoded together, all others as `sources` does, one by one.

Both ways give the same rows: what the quick way does not surely read as the other one would, it leaves to it, errors above all.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from learnalign.config import DataConfig
from learnalign.inputs import SourceRow, json_line, kind_of, opened
from learnalign.sources import local_source, parts_of, read_rows

_TOGETHER = 128  # rows: few enough for the texts to be taken from memory that is in use
_PAIRS = json.JSONDecoder(object_pairs_hook=list)


@dataclass(frozen=True)
class Batch:
    """Rows as JSON texts and their objects; `lines` and `faults` as those of `SourceRow`, None if no row has one."""

    texts: list[str]
    rows: list[dict[str, Any]]
    lines: Sequence[int] | None = None
    faults: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[SourceRow]:
        lines, faults = self.lines or itertools.repeat(0), self.faults or itertools.repeat(None)
        return map(SourceRow, self.texts, self.rows, lines, faults)


def read_batches(data: DataConfig) -> Iterator[Batch]:
    """The rows of `read_rows`, with its errors."""
    if not (files := line_files(data)):
        return _batched(read_rows(data))
    numbered = keeps_lines(data)
    return itertools.chain.from_iterable(_batches_of_file(path, numbered) for path in files)


def line_files(data: DataConfig) -> list[Path]:
    """The files of lines that all rows are in; none if they are in others."""
    parts = parts_of(data) if data.limit is None else []
    return parts if all(kind_of(path) == ".jsonl" for path in parts) else []


def keeps_lines(data: DataConfig) -> bool:
    """Whether rows have the number of their line: those of a directory's files have not."""
    return line_files(data) == [local_source(data)]


def _batched(rows: Iterator[SourceRow]) -> Iterator[Batch]:
    while some := list(itertools.islice(rows, _TOGETHER)):
        yield _batch_of(some)


def _batch_of(rows: list[SourceRow]) -> Batch:
    texts, objects, lines, faults = (list(column) for column in zip(*rows, strict=True))
    return Batch(texts, objects, lines if any(lines) else None, faults if any(faults) else None)


def _batches_of_file(path: Path, numbered: bool) -> Iterator[Batch]:
    with opened(path) as file:
        yield from batches_of(file, path, 1, numbered)


def batches_of(file: BinaryIO, path: Path, number: int, numbered: bool) -> Iterator[Batch]:
    """The rows of `file`, which has the lines of `path` from line `number` on; `numbered`: they keep it."""
    while raw := list(itertools.islice(file, _TOGETHER)):
        if plain := _plain_lines(raw):
            yield Batch(*plain, range(number, number + len(raw)) if numbered else None)
        else:
            each = (json_line(line, at, f"{path}") for at, line in enumerate(raw, number))
            rows = [row if numbered else row._replace(line=0) for row in each if row]
            if rows:
                yield _batch_of(rows)
        number += len(raw)


def _plain_lines(raw: list[bytes]) -> tuple[list[str], list[dict[str, Any]]] | None:
    """The texts and objects of lines that are JSON objects without lists and objects in them; None if one is not.

    The lines are decoded as one list. That no text goes over the end of a line is sure, as JSON has no line ends in a text; that
    no object does, as every line begins and ends with a brace of its own, and that each line is one object, by their number.
    """
    try:
        texts = b"".join(raw).decode().split("\n")
        if not texts[-1]:
            texts.pop()
        if len(texts) != len(raw) or {text[:1] + text[-1:] for text in texts} != {"{}"}:
            return None
        pairs = _PAIRS.decode("[" + ",\n".join(texts) + "]")
    except (ValueError, RecursionError):
        return None
    rows = list(map(dict, pairs))
    if len(rows) != len(texts) or sum(map(len, rows)) != sum(map(len, pairs)):  # the latter: a key is there twice
        return None
    kinds = {*map(type, itertools.chain.from_iterable(map(dict.values, rows)))}
    return None if list in kinds else (texts, rows)
