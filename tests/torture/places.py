"""Places: a run directory of a tiny pool that is set back for every trial to where a command begins.

A place keeps a copy of its run directory after every command, made without interruption: what trials start from and what
they are compared with. The directory has the same path in all trials of a place, since results name their inputs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.torture.contents import differences, leftovers
from tests.torture.processes import Process, Result

SETTINGS: dict[str, Any] = {
    "model": {"name": "demo"},
    "data": {"path": "../pool.jsonl", "prompt": "question", "answer": "answer", "solution": "solution"},
    "verifier": "math",
    "warmup": {
        "size": 6,
        "num_train_epochs": 1,
        "batch_size": 12,
        "num_generations": 4,
        "learning_rate": 2e-4,
        "max_completion_length": 32,
    },
    "rollout": {"engine": "transformers", "num_generations": 4, "max_completion_length": 48},
    "grad": {"dim": 256, "width": 32},
    "select": {"size": 4},
    "train": {"steps": 6, "batch_size": 8, "num_generations": 4, "max_completion_length": 32},
    "eval": {"num_generations": 2},
    "executor": {"shard_size": 4},
}


@dataclass(frozen=True)
class Command:
    """A command line, the command it follows, the files that it reads, and the shards that it never makes twice."""

    line: str
    after: str | None = None
    reads: tuple[str, ...] = ()
    shards: str | None = None

    @property
    def overwrites(self) -> bool:
        return "--overwrite" in self.line


CONFIG = "--config ../config.yaml"
POLICY = "warmup/*"
COMMANDS = {  # `run` is the run directory, `..` the place's root
    "pool": Command(f"warmup run {CONFIG} --set warmup.size=0"),
    "warmup": Command(f"warmup run {CONFIG}"),
    "rollout": Command("rollout run", "warmup", ("prompts.parquet", POLICY), "rollouts/*"),
    "import": Command("rollout run --from ../completions.jsonl", "warmup", ("prompts.parquet", POLICY), "rollouts/*"),
    "grad": Command(
        "grad run", "rollout", ("prompts.parquet", POLICY, "rollouts/*", "success.parquet"), "gradients/part*"
    ),
    "exact": Command("grad run --set grad.projection=exact", "rollout", (POLICY, "rollouts/*", "success.parquet")),
    "signal": Command("signal run length perplexity angle", "grad", ("prompts.parquet", POLICY, "rollouts/*")),
    "select": Command("select run", "signal", ("prompts.parquet", "success.parquet", "gradients/*")),
    "compare": Command("compare run -n 4", "select", ("signals/*", "scores/*", "rollouts/*", "gradients/*")),
    "train": Command("train run --subset run/subset.jsonl --name t", "compare", ("subset.jsonl", POLICY)),
    "eval": Command(
        "eval run --data ../pool.jsonl --name e --policy train/t --set data.limit=8",
        "train",
        ("train/t/policy/*", "train/t/*"),
        "eval/e/rollouts/*",
    ),
    "select --overwrite": Command("select run -n 3 --overwrite", "compare"),
    "rollout --overwrite": Command("rollout run --overwrite", "compare"),
    "run": Command(f"run run {CONFIG}"),
    "run --stages": Command(f"run run {CONFIG} --stages 0.5,0.5"),
}


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
    for path in run.rglob("*"):
        with contextlib.suppress(OSError):  # it was renamed meanwhile
            status = path.stat()
            seen.add((str(path), status.st_size, status.st_mtime_ns))
    return seen


def make_states(places: list[Place], names: list[str]) -> None:
    """Run the commands undisturbed, in all places at once."""
    threads = [threading.Thread(target=lambda p=place: [p.state(name) for name in names]) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
