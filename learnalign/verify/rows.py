"""Scores a JSONL file of completions with one verifier, or compares several on it."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from learnalign.errors import InputError
from learnalign.progress import Progress
from learnalign.rundir.files import as_json
from learnalign.verify.graders import GRADERS
from learnalign.verify.verdict import Item, Verdict
from learnalign.verify.verifier import open_verifier

_CHUNK = 4096  # rows in memory at once
_MOST_EXAMPLES = 10


@dataclass
class Tally:
    """Counts of one verifier's verdicts; `unscorable` counts the reasons of rows without a reward."""

    verifier: str
    correct: int = 0
    wrong: int = 0
    unscorable: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        if verdict.reward is None:
            self.unscorable[verdict.reason] += 1
        elif verdict.reward:
            self.correct += 1
        else:
            self.wrong += 1


@dataclass(frozen=True)
class Disagreement:
    """A row that the verifiers judge differently: its line in the file, and the verdict of each."""

    line: int
    verdicts: list[Verdict]


@dataclass
class Report:
    """The result of `verify_file`: a tally per verifier, how often they disagree, and the first such rows."""

    rows: int
    tallies: list[Tally]
    disagreements: int = 0
    patterns: Counter[tuple[float | None, ...]] = field(default_factory=Counter)
    examples: list[Disagreement] = field(default_factory=list)

    def add(self, line: int, verdicts: list[Verdict]) -> None:
        for tally, verdict in zip(self.tallies, verdicts, strict=True):
            tally.add(verdict)
        rewards = tuple(verdict.reward for verdict in verdicts)
        self.patterns[rewards] += 1
        if len(set(rewards)) > 1:
            self.disagreements += 1
            if len(self.examples) < _MOST_EXAMPLES:
                self.examples.append(Disagreement(line, verdicts))


Rows = Iterator[tuple[int, dict[str, Any], Item]]


def verify_file(
    path: Path,
    names: Sequence[str],
    write: Callable[[str], Any] | None,
    completion: str = "completion",
    answer: str = "answer",
    **options: Any,
) -> Report:
    """Score every row of a JSONL file: see `verify_rows`, which takes `names`, `write` and `options`.

    Args:
        completion, answer: columns; a dot reaches into a nested object (reward_model.ground_truth).

    Raises:
        InputError: there is no such file or verifier, a line is not a JSON object, a column is missing, a completion
            is not a string, or an answer neither that nor a number.
    """
    return verify_rows(lambda: _rows(path, completion, answer), names, write, **options)


def verify_rows(
    rows: Callable[[], Rows],
    names: Sequence[str],
    write: Callable[[str], Any] | None,
    workers: int | None = None,
    timeout: float = 5.0,
    reasoning_tags: Sequence[str] = (),
    stored: Callable[[dict[str, Any]], Verdict] | None = None,
) -> Report:
    """Score every row and write it as a line of JSON with the rewards added.

    Reads the rows twice, a few thousand at a time: the first pass only checks every row, so that nothing is written for
    a bad file.

    Args:
        rows: makes an iterator of (line, row, item).
        names: verifiers, or a trainer's grader (`graders.GRADERS`); the first adds `reward` and `reason`, the second
            `reward_2` and `reason_2`, and so on.
        write: called with each line; None for the report alone.
        workers, timeout, reasoning_tags: those of `open_verifier`.
        stored: the verdict that a row already has; it comes first in the report.
    """
    total = sum(1 for _ in rows())
    report = Report(total, [Tally(name) for name in [*(["stored"] if stored else []), *names]])
    with contextlib.ExitStack() as stack:
        verifiers = [
            stack.enter_context(open_verifier(GRADERS.get(name, name), workers, timeout, reasoning_tags=reasoning_tags))
            for name in names
        ]
        progress = stack.enter_context(Progress(total, "completions", "verify"))
        remaining = rows()
        while chunk := list(islice(remaining, _CHUNK)):
            # TRL's grader reads message lists alone: a row without a prompt gets an empty one.
            items = [item if item.messages else replace(item, messages=[]) for _, _, item in chunk]
            scored = zip(
                *(
                    verifier.score(items if name == "trl" else [item for _, _, item in chunk])
                    for name, verifier in zip(names, verifiers, strict=True)
                ),
                strict=True,
            )
            for (line, row, _), verdicts in zip(chunk, scored, strict=True):
                report.add(line, [*([stored(row)] if stored else []), *verdicts])
                if write is not None:
                    write(as_json({**row, **_columns(verdicts)}) + "\n")
            progress.advance(len(chunk))
    return report


def _columns(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for number, verdict in enumerate(verdicts, start=1):
        suffix = f"_{number}" if number > 1 else ""
        columns |= {f"reward{suffix}": verdict.reward, f"reason{suffix}": verdict.reason}
    return columns


def _rows(path: Path, completion: str, answer: str) -> Rows:
    if not path.is_file():
        what = "a directory" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}; name a JSONL file of completions or a run directory")
    with path.open(encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    where = f"{path}, line {number}"
                    row = _object(line, where)
                    texts = _text(row, completion, "--completion", where), _text(row, answer, "--answer", where)
                    yield number, row, Item(*texts, messages=_messages(row), source=row)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text ({error.reason}); save it as JSONL in UTF-8") from None


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}); each line must be one JSON object") from None
    if not isinstance(row, dict):
        raise InputError(f"{where} is a {_kind(row)}; each line must be one JSON object")
    return row


def _text(row: dict[str, Any], column: str, option: str, where: str) -> str:
    value: Any = row
    for part in [column] if column in row else column.split("."):
        if not isinstance(value, dict) or part not in value:
            raise InputError(
                f"{where} has no column {column!r}; it has {', '.join(map(repr, row)) or 'none'}: "
                f"name the right one with {option}"
            )
        value = value[part]
    if not isinstance(value, str | int | float if option == "--answer" else str):
        raise InputError(
            f"{where}: column {column!r} is a {_kind(value)}, not a string; convert it, leave the row out, "
            f"or name another column with {option}"
        )
    return str(value)  # of a number as the pool reads it


def _kind(value: Any) -> str:
    kinds = {dict: "JSON object", list: "list", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return kinds.get(type(value), "string")


def _messages(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    for column in ("messages", "prompt"):
        value = row.get(column)
        if isinstance(value, list) and value and all(isinstance(message, dict) for message in value):
            return value
    return None
