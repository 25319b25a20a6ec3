"""Policies kept along a training (`train.keep_checkpoints`): step-000050 and so on, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from learnalign import processes
from learnalign.rundir.files import atomic_path, remove, remove_leftovers

POLICIES = "policies"  # the directory of those of a training


class Kept:
    """Saves the policy after certain steps in `folder`; the last step's is the training's result and not saved here.

    Args:
        folder: where they are, also while the training is unfinished.
        steps: after which the policy is kept.
        save: writes the policy as it is now into a directory; with None it takes part while process 0 writes.
    """

    def __init__(self, folder: Path, steps: Collection[int], save: Callable[[Path | None], None]) -> None:
        self.folder, self.steps, self.save = folder, steps, save

    def stored(self) -> dict[int, Path]:
        """Those that an earlier process kept, by step."""
        return {step_of(path): path for path in self.folder.glob("step-*")}

    def begin(self, done: int) -> bool:
        """Delete what was kept after step `done`, where training goes on; whether everything before is still there."""
        remove_leftovers(self.folder / "step-*")
        stored = self.stored()
        for step, path in stored.items():
            if step > done or step not in self.steps:
                remove(path)
        return all(step in stored for step in self.steps if step <= done)

    def keep(self, step: int) -> None:
        """Save the policy if it is to be kept after `step`."""
        if step in self.steps and processes.rank():
            self.save(None)
        elif step in self.steps:
            with atomic_path(self.folder / f"step-{step:06d}") as folder:
                self.save(folder)


def step_of(folder: Path) -> int:
    """The step of a kept policy's directory, such as step-000050."""
    return int(folder.name.removeprefix("step-"))
