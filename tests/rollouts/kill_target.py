"""The process that test_killed kills: the rollout stage, which notes the prompts that it samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from learnalign.rollouts import Request, rollout
from learnalign.rollouts.engines.transformers import TransformersEngine
from learnalign.rundir import RunDir


def work(path: Path, notes: Path) -> None:
    """Run the stage; every prompt given to the engine leaves a line in `notes`."""
    torch.set_num_threads(1)
    plain = TransformersEngine.generate

    def noted(self: TransformersEngine, requests: Sequence[Request], *others: Any) -> Any:
        with notes.open("a") as file:
            file.write("".join(request.id + "\n" for request in requests))
            file.flush()
            os.fsync(file.fileno())
        return plain(self, requests, *others)

    TransformersEngine.generate = noted  # type: ignore[assignment]
    rollout(RunDir.open(path), anyway=True)
