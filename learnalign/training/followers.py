"""What processes other than the first do under `accelerate launch`: they take part in the training that process 0 announces."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from learnalign import processes
from learnalign.config import GrpoConfig, UntilConfig, build_config
from learnalign.prompts import stored_prompts
from learnalign.rundir import RunDir
from learnalign.training.job import Job, optimise


@dataclass
class Elsewhere:
    """Stands for the curriculum, which process 0 alone has."""

    redraws = 0

    def draw(self, count: int) -> list[int]:
        return []

    def update(self, rows: Any, success_rates: Any, model: Any) -> None:
        """Process 0 does it."""

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Process 0 does it."""


def follow() -> None:
    """Take part in every training that process 0 announces, and return after the last; reads the run directory and writes nothing.

    What process 0 prints too is not printed again.
    """
    while (announced := processes.awaited()) is not None:
        with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing), contextlib.redirect_stdout(nothing):
            run, job = _job_of(announced)
            optimise(run, job)


def _job_of(announced: dict[str, Any]) -> tuple[RunDir, Job]:
    """The training of `job.announcement`."""
    run = RunDir(Path(announced["run"]), build_config(announced["config"], "process 0"))
    prompts, values = {prompt.id: prompt for prompt in stored_prompts(run)}, dict(announced["job"])
    values["settings"] = GrpoConfig.model_validate(values["settings"])
    values["until"] = values["until"] and UntilConfig.model_validate(values["until"])
    values |= {name: Path(values[name]) for name in ("work", "output")}
    values |= {"prompts": [prompts[id] for id in values["prompts"]], "curriculum": Elsewhere()}
    assert values.keys() == {field.name for field in fields(Job)}
    return run, Job(**values)
