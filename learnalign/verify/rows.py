"""Scores completions with one verifier, or compares several on them: those of a JSONL or Parquet file, or of any source of `Row`s."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from learnalign.errors import InputError, listed_briefly, short
from learnalign.inputs import check_file, is_parquet, json_kind, json_lines
from learnalign.progress import Progress
from learnalign.rundir.files import as_json
from learnalign.sources import READERS
from learnalign.verify.graders import short_name
from learnalign.verify.verdict import Item, Verdict
from learnalign.verify.verifier import Verifier, open_verifier

_CHUNK = 4096  # rows in memory at once
_MOST_EXAMPLES = 10


class Row(NamedTuple):
    """A completion to judge: its place (a file's line or row), its columns, and verdicts that it has already."""

    place: int | str
    columns: dict[str, Any]
    item: Item
    stored: tuple[Verdict, ...] = ()


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
    """A row that the verifiers judge differently: its place, its item, and the verdict of each."""

    place: int | str
    item: Item
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Agreement:
    """How a grader's verdicts compare with ours; the five counts add up to the rows."""

    grader: str
    both_correct: int
    only_ours: int
    only_theirs: int
    both_wrong: int
    unscorable: int


@dataclass
class Report:
    """The result: a tally per verifier, how often they disagree, and the first such rows.

    Args:
        places: what a row's place is.
        without_completions: prompts of a run that have counts only.
    """

    rows: int
    tallies: list[Tally]
    places: str = "line"
    without_completions: int = 0
    disagreements: int = 0
    patterns: Counter[tuple[float | None, ...]] = field(default_factory=Counter)
    examples: list[Disagreement] = field(default_factory=list)

    def add(self, row: Row, verdicts: list[Verdict]) -> None:
        for tally, verdict in zip(self.tallies, verdicts, strict=True):
            tally.add(verdict)
        rewards = tuple(verdict.reward for verdict in verdicts)
        self.patterns[rewards] += 1
        if len(set(rewards)) > 1:
            self.disagreements += 1
            if len(self.examples) < _MOST_EXAMPLES:
                self.examples.append(Disagreement(row.place, row.item, verdicts))

    def agreement(self, grader: str, ours: str) -> Agreement:
        """Compare two of the verifiers."""
        names = [tally.verifier for tally in self.tallies]
        first, second = names.index(ours), names.index(grader)
        pairs: Counter[tuple[float | None, float | None]] = Counter()
        for rewards, count in self.patterns.items():
            pairs[rewards[first], rewards[second]] += count
        scored = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))
        both, only_ours, only_theirs, neither = (pairs.pop(pair, 0) for pair in scored)
        return Agreement(grader, both, only_ours, only_theirs, neither, pairs.total())


def verify_file(
    path: Path,
    names: Sequence[str],
    write: Callable[[str], Any] | None,
    completion: str = "completion",
    answer: str = "answer",
    workers: int | None = None,
    timeout: float = 5.0,
    reasoning_tags: Sequence[str] = (),
    sandbox: str | None = None,
) -> Report:
    """Score every row of `path` and write it as a line of JSON with the rewards added.

    Reads the file twice, a few thousand rows at a time: the first pass only checks every row, so that nothing is
    written for a bad file.

    Args:
        names: verifiers; the first adds `reward`, `reason` and `read` (the answer read), and `share_passed` if it is `code`; the
            second `reward_2` and so on.
        write: called with each line; None for the report alone.
        completion, answer: columns; a dot reaches into a nested object (reward_model.ground_truth).
        workers, timeout, reasoning_tags, sandbox: those of `open_verifier`.

    Raises:
        InputError: there is no such file or verifier, a line is no JSON object, a Parquet file damaged, a column missing or no string.
    """
    total = sum(1 for _ in _rows(path, completion, answer))
    report = Report(total, [Tally(short_name(name)) for name in names], _unit(path))
    with contextlib.ExitStack() as stack:
        verifiers = [
            stack.enter_context(open_verifier(name, workers, timeout, reasoning_tags=reasoning_tags, sandbox=sandbox))
            for name in names
        ]
        progress = stack.enter_context(Progress(total, "completions", "verify"))
        rows = _rows(path, completion, answer)
        while chunk := list(islice(rows, _CHUNK)):
            score_rows(chunk, verifiers, report, write)
            progress.advance(len(chunk))
    return report


def score_rows(
    chunk: Sequence[Row], verifiers: Sequence[Verifier], report: Report, write: Callable[[str], Any] | None
) -> None:
    """Judge rows, add them to the report and write them with their new verdicts."""
    items = [row.item for row in chunk]
    scored = zip(*(verifier.score(items) for verifier in verifiers), strict=True)
    for row, verdicts in zip(chunk, scored, strict=True):
        report.add(row, [*row.stored, *verdicts])
        if write is not None:
            shares = [verifier.gives_shares for verifier in verifiers]
            write(as_json({**row.columns, **_columns(verdicts, shares)}) + "\n")


def _columns(verdicts: Sequence[Verdict], shares: Sequence[bool]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for number, (verdict, with_share) in enumerate(zip(verdicts, shares, strict=True), start=1):
        suffix = f"_{number}" if number > 1 else ""
        columns |= {
            f"reward{suffix}": verdict.reward,
            f"reason{suffix}": verdict.reason,
            f"read{suffix}": verdict.answer,
        }
        if with_share:
            columns[f"share_passed{suffix}"] = verdict.share_passed
    return columns


def _rows(path: Path, completion: str, answer: str) -> Iterator[Row]:
    if path.is_dir():
        raise InputError(f"{path}: a directory; name a JSONL or Parquet file of completions or a run directory")
    check_file(path)
    read = READERS[".parquet"] if is_parquet(path) else json_lines
    for number, source in enumerate(read(path)):
        place, row = source.line or number, source.row
        where = f"{path}, {_unit(path)} {place}"
        texts = _text(row, completion, "--completion", where), _text(row, answer, "--answer", where)
        yield Row(place, row, Item(*texts, messages=_messages(row), source=row))


def _unit(path: Path) -> str:
    return "row" if is_parquet(path) else "line"


def _text(row: dict[str, Any], column: str, option: str, where: str) -> str:
    value: Any = row
    for part in [column] if column in row else column.split("."):
        if not isinstance(value, dict) or part not in value:
            raise InputError(
                f"{where} has no column {column!r}; it has {listed_briefly(map(short, row)) or 'none'}: "
                f"name the right one with {option}"
            )
        value = value[part]
    if not isinstance(value, str):
        raise InputError(
            f"{where}: column {column!r} is a {json_kind(value)}, not a string; convert it, leave the row out, "
            f"or name another column with {option}"
        )
    return value


def _messages(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    for column in ("messages", "prompt"):
        value = row.get(column)
        if isinstance(value, list) and value and all(isinstance(message, dict) for message in value):
            return value
    return None
