"""Rows that hold a prompt as it was scored: `handoff` writes them, `prompts` reads them without applying a template twice.

Such a row has `id`, `prompt` (messages), `answer` (the gold), the user's own columns, and under `learnalign` what tells it from
any other row: the row of the input, the verifier, and the names of the user's columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from learnalign.errors import InputError

MARK = "learnalign"
OTHER = "source_"  # begins no name of ours
READABLE = ("messages", "source", "trl")  # formats that learnalign reads
_KEYS = {"row", "verifier", "columns"}


def mark(row: int, verifier: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """The value under `learnalign`; `verifier` holds its name and what else it is opened with."""
    return {"row": row, **verifier, "columns": list(columns)}


def is_scored(row: Mapping[str, Any]) -> bool:
    """Whether a row holds a prompt as it was scored."""
    if MARK not in row:
        return False
    about = row[MARK]
    ours = isinstance(about, dict) and about.keys() >= _KEYS and isinstance(about["columns"], list)
    return ours and {"id", "prompt", "answer"} <= row.keys()


def original(row: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own columns of such a row, by the names and in the order that they had in the input."""
    names = [str(name) for name in row[MARK]["columns"] or ()]
    kept = {name: name for name in names}
    kept |= {name: other for name in names if not name.startswith(OTHER) and (other := other_name(name, names)) in row}
    return {name: row[place] for name, place in kept.items() if place in row}


def check_readable(path: Path) -> None:
    """Raise InputError for a subset in another trainer's format, by the description beside it: it would be templated twice."""
    try:
        subset = json.loads(path.with_suffix(".json").read_bytes())["subset"]
        file, format = subset["file"], subset["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if file == path.name and format not in READABLE:
        raise InputError(
            f"{path}: a subset in the format {format}, for that trainer; give it in the format messages, which "
            "`learnalign export DIR --to messages` writes"
        )


def beside(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each row of `ours` with the user's columns beside it.

    A name that is taken stays ours, and the user's column becomes `source_NAME`, unless its values are the same in every row.
    """
    other = {
        name
        for row, columns in zip(ours, theirs, strict=True)
        for name, value in columns.items()
        if name in row and not (type(row[name]) is type(value) and row[name] == value)
    }
    return [
        {**row, **{other_name(name, list(columns)) if name in other else name: columns[name] for name in columns}}
        for row, columns in zip(ours, theirs, strict=True)
    ]


def other_name(name: str, names: Sequence[str]) -> str:
    """What a column whose name is taken is called: source_NAME, or source_source_NAME if `names` have that."""
    renamed = f"{OTHER}{name}"
    while renamed in names:
        renamed = f"{OTHER}{renamed}"
    return renamed
