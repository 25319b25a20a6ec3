"""Trials: what was tried, what held, what failed; run on several places at once, counted, printed and stored."""

from __future__ import annotations

import json
import os
import platform
import queue
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from tests.torture.places import Place

T = TypeVar("T")
PACKAGES = ("learnalign", "torch", "transformers", "trl", "pyarrow", "safetensors")


class Skipped(Exception):
    """This machine cannot make the trial; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """A trial's problems, none if it held; `note` is a kind of trial that is counted, e.g. how a kill fell."""

    name: str
    problems: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Trial:
    """`attack` attacks the run directory of a place; it returns the outcomes, several if one command tries several things."""

    name: str
    attack: Callable[[Place, str], list[Outcome]]


@dataclass
class Counts:
    """What came of the trials of a part."""

    tried: int = 0
    failures: dict[str, Sequence[str]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        self.tried += 1
        if outcome.problems:
            self.failures[outcome.name] = outcome.problems
        if outcome.note:
            self.notes[outcome.note] += 1

    def as_json(self) -> dict[str, object]:
        counted = {"tried": self.tried, "held": self.tried - len(self.failures), "failed": len(self.failures)}
        more = {"notes": dict(sorted(self.notes.items())), "skipped": dict(self.skipped)}
        return {**counted, **more, "failures": dict(sorted(self.failures.items()))}


def chosen(trials: Sequence[T], share: float) -> list[T]:
    """An even share of the trials, at least one."""
    return [trial for i, trial in enumerate(trials) if int((i + 1) * share) > int(i * share)] or list(trials[:1])


def run_trials(trials: Sequence[Trial], places: Sequence[Place]) -> Counts:
    """Attack; each place takes the next trial as soon as it is free. A trial that breaks is a failure of its own."""
    waiting: queue.SimpleQueue[Trial] = queue.SimpleQueue()
    for trial in trials:
        waiting.put(trial)
    counts, lock = Counts(), threading.Lock()

    def work(place: Place) -> None:
        while True:
            try:
                trial = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                outcomes = trial.attack(place, trial.name)
            except Skipped as reason:
                with lock:
                    counts.skipped[str(reason)] += 1
                continue
            except Exception as error:
                outcomes = [Outcome(trial.name, [f"the trial broke: {type(error).__name__}: {error}"])]
            with lock:
                for outcome in outcomes:
                    counts.add(outcome)
                    if outcome.problems:
                        print(f"FAILED {outcome.name}: {'; '.join(outcome.problems)}", file=sys.stderr, flush=True)

    threads = [threading.Thread(target=work, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def table(parts: Mapping[str, Counts]) -> str:
    """The counts as a table, a part a line."""
    lines = [f"{'part':<10}{'tried':>7}{'held':>7}{'failed':>8}  notes"]
    for name, counts in parts.items():
        notes = [f"{count} {note}" for note, count in sorted(counts.notes.items())]
        notes += [f"{count} skipped: {reason}" for reason, count in counts.skipped.items()]
        failed = len(counts.failures)
        lines.append(f"{name:<10}{counts.tried:>7}{counts.tried - failed:>7}{failed:>8}  {', '.join(notes)}")
    return "\n".join(lines)


def write_results(file: Path, parts: Mapping[str, Counts], share: float) -> None:
    """Store the counts with the machine and the versions; parts that did not run now keep their earlier counts."""
    stored = json.loads(file.read_text(encoding="utf-8"))["parts"] if file.is_file() else {}
    memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    about = {"system": platform.platform(), "cores": os.cpu_count(), "memory_gb": memory}
    results = {
        "machine": about,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "parts": {**stored, **{name: {"share": share, **counts.as_json()} for name, counts in parts.items()}},
    }
    file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
