"""Workers for the tests: each shard gets a file that tells how often it was done, and a plan says how workers fail on some."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, RunError
from learnalign.executor import Work, Worker
from learnalign.progress import Progress
from learnalign.rundir import RunDir, Shard


def file_of(run: RunDir, shard: Shard) -> Path:
    return run.path / "work" / f"shard-{shard.index}"


def make(run: RunDir, fails: dict[str, list[str]], pause: float = 0.0, together: int = 1) -> Worker:
    """A worker that takes `together` shards before it does the first. `fails`: what happens on a shard, try by try."""
    if "start" in fails:
        raise RuntimeError(fails["start"][0])

    def worker(shards: Iterator[Shard], progress: Progress) -> None:
        taken: list[Shard] = []
        for shard in shards:
            taken.append(shard)
            if len(taken) == together:
                _do(run, taken, progress, fails, pause)
                taken = []
        _do(run, taken, progress, fails, pause)

    return worker


def _do(run: RunDir, shards: list[Shard], progress: Progress, fails: dict[str, list[str]], pause: float) -> None:
    for shard in shards:
        with progress.part(len(shard)) as advance:
            advance(0.5)
            time.sleep(pause)
            _fail(run, shard, fails.get(str(shard.index), []))
            with file_of(run, shard).open("a") as file:
                file.write(f"{os.getpid()}\n")


def _fail(run: RunDir, shard: Shard, ways: list[str]) -> None:
    tries = file_of(run, shard).with_suffix(".tries")
    with tries.open("a") as file:
        file.write("x")
    done = tries.stat().st_size
    way = ways[done - 1] if done <= len(ways) else ""
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "exit":
        print("out of luck", flush=True)
        os._exit(3)
    if way == "wait":  # until another worker has done a shard
        while not list(tries.parent.glob("shard-?")):
            time.sleep(0.05)
    if way == "error":
        raise RuntimeError("CUDA error: an illegal memory access")
    if way == "input":
        raise InputError("data.path: it has moved")
    if way == "run":
        raise RunError("5 of 10 gradients are bad")


def work(run: RunDir, **options: Any) -> Work:
    (run.path / "work").mkdir(exist_ok=True)
    return Work(
        stage="rollout",
        label="work",
        make=make,
        done=lambda shard: file_of(run, shard).is_file(),
        options={"fails": {}, **options},
    )


def done(run: RunDir) -> list[int]:
    """How often each shard was done."""
    files = [file_of(run, shard) for shard in run.shards()]
    return [file.read_text().count("\n") if file.is_file() else 0 for file in files]
