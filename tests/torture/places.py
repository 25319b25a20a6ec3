"""Places: a run directory of a tiny pool that is set back for every trial to where a command begins.

A place keeps a copy of its run directory after every command, made without interruption: what trials start from and what
they are compared with. The directory has the same path in all trials of a place, since results name their inputs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.torture.commands import COMMANDS, SETTINGS
from tests.torture.contents import differences, leftovers
from tests.torture.processes import Process, Result


@dataclass
class Place:
    """`root` holds the pool, the copies and `here`, in which commands run on the directory `run`."""

    root: Path
    first_row: int = 0
    rows: int = 16
    changes: dict[str, Any] = field(default_factory=dict)
    last: str = "eval"  # the end of the longest chain, after which every kind of file is there
    moments: dict[str, list[float]] = field(default_factory=dict)  # when a command writes, and its end; seconds

    def __post_init__(self) -> None:
        self.here, self.run = self.root / "here", self.root / "here" / "run"
        self.here.mkdir(parents=True)
        (self.root / "outputs").mkdir()
        lines = demo_pool().read_text(encoding="utf-8").splitlines(keepends=True)
        rows = lines[self.first_row : self.first_row + self.rows]
        (self.root / "pool.jsonl").write_text("".join([*rows, rows[0]]))  # the last one goes to quarantine.jsonl
        (self.root / "config.yaml").write_text(json.dumps(SETTINGS | self.changes))

    def start(self, line: str, **environment: str) -> Process:
        return Process(line.split(), self.here, self.root / "outputs", **environment)

    def finish(self, line: str, **environment: str) -> Result:
        return self.start(line, **environment).finish()

    def set_back(self, name: str | None) -> None:
        """Make the run directory what it was after the command `name`; None is before the first one."""
        state = None if name is None else self.state(name)
        shutil.rmtree(self.run, ignore_errors=True)
        if state is not None:
            shutil.copytree(state, self.run, copy_function=shutil.copy2)

    def state(self, name: str) -> Path:
        """A copy of the run directory after the command `name` (and those it follows), uninterrupted."""
        copy = self.root / "states" / name
        if not copy.is_dir():
            command = COMMANDS[name]
            self.set_back(command.after)
            if name == "import":
                self._write_completions()
            self._time(name)
            shutil.copytree(self.run, copy, copy_function=shutil.copy2)
        return copy

    def _time(self, name: str) -> None:
        process = self.start(COMMANDS[name].line)
        self.moments[name] = [*watch(self.run, process), 0.0]
        result = process.finish()
        self.moments[name][-1] = process.age()
        if problems := result.problems(0):
            raise RuntimeError(f"{COMMANDS[name].line} failed undisturbed: {'; '.join(problems)}")

    def _write_completions(self) -> None:
        """Completions from elsewhere for every prompt, two of three correct."""
        prompts = pq.read_table(self.run / "prompts.parquet", columns=["id", "answer"]).to_pylist()
        rows = [
            {"id": prompt["id"], "completion": f"The answer is {prompt['answer'] if (i + k) % 3 else 'none'}."}
            for i, prompt in enumerate(prompts)
            for k in range(4)
        ]
        (self.root / "completions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def check(self) -> list[str]:
        """What `status --check` says against a run directory in which all is well."""
        return [f"status --check: {problem}" for problem in self.finish("status run --check").problems(0)]

    def resume(self, name: str) -> list[str]:
        """Give the command again; problems if it does not end as if it had never been disturbed."""
        process = self.start(COMMANDS[name].line)
        problems = process.finish().problems(0) + differences(self.state_made(name), self.run) + leftovers(self.run)
        problems += [f"{line} is left running" for line in process.orphans()]
        return [f"again: {problem}" for problem in problems] + self.check()

    def state_made(self, name: str) -> Path:
        """The copy after `name`, which must have been made before the run directory was disturbed."""
        copy = self.root / "states" / name
        assert copy.is_dir(), f"{name} was not run undisturbed first"
        return copy


def demo_pool() -> Path:
    """The pool that the program brings along."""
    spec = importlib.util.find_spec("learnalign")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "demo" / "pool.jsonl"


def watch(run: Path, process: Process, changes: int | None = None) -> list[float]:
    """Wait until the directory has changed so many times, or the command has ended; the ages at which it changed."""
    before, moments = _look(run), []
    while process.is_running() and (changes is None or len(moments) < changes):
        if (now := _look(run)) != before:
            before = now
            moments.append(process.age())
        time.sleep(0.01)
    return moments


def _look(run: Path) -> set[tuple[str, int, int]]:
    seen = set()
    for folder, _, names in os.walk(run):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            with contextlib.suppress(OSError):  # it was renamed meanwhile
                status = os.lstat(path)
                seen.add((path, status.st_size, status.st_mtime_ns))
    return seen


def make_states(places: list[Place], names: list[str]) -> None:
    """Run the commands undisturbed, in all places at once; a command that fails fails again in its trials."""

    def make(place: Place) -> None:
        for name in names:
            with contextlib.suppress(RuntimeError):
                place.state(name)

    with ThreadPoolExecutor(len(places)) as pool:
        list(pool.map(make, places))
