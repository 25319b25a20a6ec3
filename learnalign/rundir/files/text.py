"""Text, JSON, JSONL and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from learnalign.errors import one_line
from learnalign.rundir.files.content import damaged, verified
from learnalign.rundir.files.whole import atomic_path


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


_UNICODE = json.JSONEncoder(ensure_ascii=False)  # made once: json.dumps makes one a text


def as_json(value: Any, **options: Any) -> str:
    """`value` as JSON, in Unicode if that can be written (half a surrogate pair cannot), else escaped."""
    text = json.dumps(value, ensure_ascii=False, **options) if options else _UNICODE.encode(value)
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
