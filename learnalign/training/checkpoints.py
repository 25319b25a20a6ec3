"""The trainer's checkpoints: which are complete, how much disk they take, when they are deleted.

A checkpoint is what transformers writes (weights, optimiser, random state: TRL's own pickles, read back by TRL only)
plus `learnalign.json`, written last, after the rest was flushed to disk: a checkpoint without it was interrupted and
is deleted. It holds a digest of every file and of itself, and a checkpoint that differs from them is never read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import xxhash

from learnalign.errors import RunError, counted
from learnalign.rundir.files import disk_error, read_json, remove, write_json

STATE = "learnalign.json"
# Bytes per trained parameter: float32 weights and AdamW's two moments in a checkpoint; weights alone in the policy. FSDP and DeepSpeed
# write the weights twice, DeepSpeed also its optimiser's copies of them; ZeRO 3 these alone, or beside the weights once.
CHECKPOINT_BYTES, FSDP_BYTES, DEEPSPEED_BYTES, ZERO3_BYTES, POLICY_BYTES = 12, 16, 20, 16, 4


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`; incomplete ones are deleted. Raises RunError if it is damaged."""
    steps: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if not path.is_dir() or not re.fullmatch(r"checkpoint-\d+", path.name):
            continue
        if (path / STATE).is_file():
            steps[int(path.name.rpartition("-")[2])] = path
        else:
            remove(path)
    if not steps:
        return None
    newest = steps[max(steps)]
    _verify(newest)
    return newest


def complete(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Flush the checkpoint of `step`, mark it complete with `state`, and delete all earlier ones."""
    newest = folder / f"checkpoint-{step}"
    record = {"files": {name: _flushed(file) for name, file in _files(newest).items()}, "state": state}
    write_json(newest / STATE, {**record, "digest": _digest_of(record)})
    for path in folder.glob("checkpoint-*"):
        if path != newest and path.is_dir():
            remove(path)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The `state` that `complete` stored with a checkpoint."""
    return read_json(checkpoint / STATE)["state"]


def _verify(checkpoint: Path) -> None:
    try:
        stored = read_json(checkpoint / STATE)
        digest = stored.pop("digest")
        files: dict[str, str] = stored["files"]
    except (RunError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(checkpoint, f"its {STATE} cannot be read") from None
    if digest != _digest_of(stored):
        raise _damaged(checkpoint, f"its {STATE} was changed")
    present = _files(checkpoint)
    if different := files.keys() ^ present.keys():
        raise _damaged(checkpoint, f"it should {'hold' if min(different) in files else 'not hold'} {min(different)}")
    for name, file in present.items():
        if _digest(file) != files[name]:
            raise _damaged(checkpoint, f"its {name} was changed")


def _damaged(checkpoint: Path, reason: str) -> RunError:
    return RunError(
        f"{checkpoint} is damaged: {reason}. Ways out: delete this directory, and the same command begins the training again; or "
        "put an undamaged copy in its place"
    )


def _files(checkpoint: Path) -> dict[str, Path]:
    """The files of a checkpoint but learnalign.json, by their path in it."""
    files = {path.relative_to(checkpoint).as_posix(): path for path in sorted(checkpoint.rglob("*")) if path.is_file()}
    return {name: path for name, path in files.items() if name != STATE}


def _flushed(file: Path) -> str:
    """The digest of a file that is flushed to disk."""
    try:
        with file.open("rb") as content:
            os.fsync(content.fileno())
        return _digest(file)
    except OSError as error:
        raise disk_error(file, error) from error


def _digest(file: Path) -> str:
    digest = xxhash.xxh3_128()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _digest_of(record: dict[str, Any]) -> str:
    stored = json.loads(json.dumps(record))  # as it is read back: keys are strings then
    return xxhash.xxh3_128_hexdigest(json.dumps(stored, sort_keys=True).encode())


def check_disk(folder: Path, trained: int, checkpoint: int, policies: int, stored: bool) -> int:
    """Bytes that training `trained` parameters still needs at its peak; raises RunError if the disk has less.

    A `checkpoint` takes that many bytes a parameter, 0 if there are none. A new one is complete before the old one (`stored`) is deleted,
    so two exist for a moment; the `policies` that are still to be written, the finished one among them, stay beside the last one.
    """
    needed = trained * ((2 - stored) * checkpoint + POLICY_BYTES * policies)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RunError(
            f"{folder}: training needs {needed / 1e9:.1f} GB of disk (checkpoints and {counted(policies, 'policy', 'policies')}), "
            f"{free / 1e9:.1f} GB are free; free some, choose a run directory on another disk, train an adapter (warmup.lora), "
            'keep fewer policies (train.keep_checkpoints), or turn checkpoints off (warmup.trainer: {save_strategy: "no"})'
        )
    return needed
