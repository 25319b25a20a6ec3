"""Checkpoints: a damaged one is named and never read, an interrupted one is deleted, and nothing else is taken for one."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from learnalign.errors import RunError
from learnalign.training import checkpoints, warmup
from learnalign.training.trainer import Bookkeeping
from tests.tiny import make_run

STATE = checkpoints.STATE
WAYS = "is damaged: .*delete this directory, and the same command begins the training again"


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _edit_state(folder: Path) -> None:
    record = json.loads((folder / STATE).read_text())
    record["state"]["rewards"] = [1, 0]
    (folder / STATE).write_text(json.dumps(record))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda folder: _flip(folder / "model.safetensors"), "its model.safetensors was changed"),
    "truncated": (lambda folder: (folder / "optimizer.pt").write_bytes(b""), "its optimizer.pt was changed"),
    "a pickle in its place": (
        lambda folder: (folder / "optimizer.pt").write_bytes(pickle.dumps(print)),
        "its optimizer.pt was changed",
    ),
    "a file of a folder": (lambda folder: _flip(folder / "parts" / "a"), "its parts/a was changed"),
    "a lacking file": (lambda folder: (folder / "optimizer.pt").unlink(), "it should hold optimizer.pt"),
    "another file": (lambda folder: (folder / "training_args.bin").touch(), "it should not hold training_args.bin"),
    "an empty record": (lambda folder: (folder / STATE).write_text(""), f"its {STATE} cannot be read"),
    "a list as record": (lambda folder: (folder / STATE).write_text("[]"), f"its {STATE} cannot be read"),
    "no text as record": (lambda folder: (folder / STATE).write_bytes(b"\xff"), f"its {STATE} cannot be read"),
    "a nested record": (lambda folder: (folder / STATE).write_text("[" * 50_000), f"its {STATE} cannot be read"),
    "other rewards": (_edit_state, f"its {STATE} was changed"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the complete checkpoint of step 4."""
    _write(tmp_path, 4)
    checkpoints.complete(tmp_path, 4, {"rewards": [0, 1], "by step": {1: 0.1}})
    return tmp_path


def _write(folder: Path, step: int) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "parts").mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "parts/a"):
        (checkpoint / name).write_bytes(name.encode() * 99)
    return checkpoint


def test_a_whole_checkpoint_is_found_with_its_state(folder: Path) -> None:
    assert checkpoints.latest(folder) == folder / "checkpoint-4"
    assert checkpoints.read_state(folder / "checkpoint-4")["rewards"] == [0, 1]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_one_line_with_the_ways_out(folder: Path, name: str) -> None:
    damage, reason = DAMAGES[name]
    damage(folder / "checkpoint-4")
    with pytest.raises(RunError, match=WAYS) as error:
        checkpoints.latest(folder)
    assert reason in str(error.value)
    assert str(folder / "checkpoint-4") in str(error.value)
    assert "\n" not in str(error.value)


def test_names_of_no_checkpoint_are_passed_over(folder: Path) -> None:
    (folder / "checkpoint-abc").mkdir()
    (folder / "checkpoint-9").write_text("a file")
    assert checkpoints.latest(folder) == folder / "checkpoint-4"
    _write(folder, 8)
    checkpoints.complete(folder, 8, {})
    assert checkpoints.latest(folder) == folder / "checkpoint-8"


def test_an_interrupted_checkpoint_is_deleted(folder: Path) -> None:
    _write(folder, 6)
    assert checkpoints.latest(folder) == folder / "checkpoint-4"
    assert not (folder / "checkpoint-6").exists()


def test_a_training_refuses_its_damaged_checkpoint_and_begins_again_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"size": 4, "batch_size": 8, "num_generations": 4, "max_completion_length": 4, "num_train_epochs": 2}
    settings |= {"trainer": {"save_steps": 1}}
    run = make_run(tmp_path, verifier="tests.training.coin_verifier:coin", warmup=settings)
    ended = Bookkeeping.on_step_end

    def interrupt(self, args, state, control, **more):
        if state.global_step == 3:
            raise KeyboardInterrupt
        ended(self, args, state, control, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Bookkeeping, "on_step_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            warmup(run)
    checkpoint = run.path / "work" / "warmup" / "checkpoint-2"
    _flip(checkpoint / "optimizer.pt")
    with pytest.raises(RunError, match=WAYS):
        warmup(run)
    assert not run.warmup_dir.exists()
    shutil.rmtree(checkpoint)
    assert warmup(run).steps == 4
    assert run.read_record()["stages"]["warmup"]["resumed_steps"] == 0
