"""The trainer's checkpoints: which are complete, how much disk they take, when they are deleted.

A checkpoint is what transformers writes (weights, optimiser, random state: TRL's own pickles, read back by TRL only)
plus `learnalign.json`, written last, after the rest was flushed to disk: a checkpoint without it was interrupted and
is ignored.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from learnalign.errors import RunError
from learnalign.rundir.files import read_json, remove, write_json

STATE = "learnalign.json"
# Bytes per trained parameter: float32 weights and AdamW's two moments in a checkpoint; weights alone in the policy.
CHECKPOINT_BYTES, POLICY_BYTES = 12, 4


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`; incomplete ones are deleted."""
    complete: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / STATE).is_file():
            complete[int(path.name.rpartition("-")[2])] = path
        else:
            remove(path)
    return complete[max(complete)] if complete else None


def complete(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Flush the checkpoint of `step`, mark it complete with `state`, and delete all earlier ones."""
    newest = folder / f"checkpoint-{step}"
    for file in (path for path in newest.rglob("*") if path.is_file()):
        with file.open("rb") as content:
            os.fsync(content.fileno())
    write_json(newest / STATE, state)
    for path in folder.glob("checkpoint-*"):
        if path != newest:
            remove(path)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The `state` that `complete` stored with a checkpoint."""
    return read_json(checkpoint / STATE)


def check_disk(folder: Path, trained: int, checkpoints: bool, policies: int) -> int:
    """Bytes that training `trained` parameters still needs at its peak; raises RunError if the disk has less.

    A new checkpoint is complete before the old one is deleted, so two exist for a moment; the `policies` that are still to
    be written, the finished one among them, stay beside the last one.
    """
    stored = 1 if latest(folder) else 0
    needed = trained * ((2 - stored) * CHECKPOINT_BYTES * checkpoints + POLICY_BYTES * policies)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RunError(
            f"{folder}: training needs {needed / 1e9:.1f} GB of disk (checkpoints and {policies} policies), "
            f"{free / 1e9:.1f} GB are free; free some, choose a run directory on another disk, train an adapter (warmup.lora), "
            'keep fewer policies (train.keep_checkpoints), or turn checkpoints off (warmup.trainer: {save_strategy: "no"})'
        )
    return needed
