"""What the processes of the slices' tests do."""

from __future__ import annotations

import contextlib
from multiprocessing.synchronize import Event
from pathlib import Path

import torch

from learnalign.config import Config
from learnalign.errors import Unfinished
from learnalign.executor import execute
from learnalign.gradients import grad
from learnalign.gradients.exact import stage as exact_stage
from learnalign.rollouts import rollout
from learnalign.rundir import RunDir, Slice
from learnalign.signals import signal
from tests.executor.workers import work


def stage(path: Path, config: Config, slice: str | None, name: str) -> None:
    """Run one stage, or a slice of it, as its command does."""
    torch.set_num_threads(1)
    run = RunDir.create(path, config, slice=Slice.parse(slice) if slice else None)
    with run.locked(), contextlib.suppress(Unfinished):
        if name == "rollout":
            rollout(run, anyway=True)
        elif name == "grad":
            grad(run)
        else:
            signal(run, ["perplexity", "length"])


def stages(path: Path, config: Config, slice: str | None) -> None:
    """Run all stages that take slices."""
    for name in ("rollout", "grad", "signal"):
        stage(path, config, slice, name)


def saving_stage(path: Path, config: Config, slice: str) -> None:
    """A slice of exact gradients that stores pass 1 after each window."""
    exact_stage.SAVE_SECONDS = 0.0
    stage(path, config, slice, "grad")


def slow_work(path: Path, slice: str) -> None:
    """Work that another process of the same slice finds begun."""
    run = RunDir.create(path, RunDir.peek(path).config, slice=Slice.parse(slice))
    with contextlib.suppress(Unfinished), run.stage("rollout"):
        execute(run, work(run, pause=0.3))


def hold(path: Path, slice: str | None, started: Event, ending: Event) -> None:
    """Hold the run directory's lock until told to end."""
    run = RunDir.create(path, RunDir.peek(path).config, slice=Slice.parse(slice) if slice else None)
    with run.locked():
        started.set()
        ending.wait(60)
