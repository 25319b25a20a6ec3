"""Kept policies: which steps, whole weights or adapters, and what happens if some are gone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from learnalign.errors import RunError
from learnalign.policy import model_path, policies_by_step
from learnalign.rundir import RunDir
from learnalign.training import train
from learnalign.training.trainer import Bookkeeping
from tests.tiny import make_run


def _run(folder: Path, **train: Any) -> RunDir:
    settings = {"batch_size": 8, "num_generations": 4, "max_completion_length": 4, "learning_rate": 1e-2}
    settings |= {"steps": 6, "keep_checkpoints": 3, "trainer": {"save_steps": 3}, **train}
    return make_run(folder, 8, verifier="tests.training.coin_verifier:coin", train=settings)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def _interrupted_after(run: RunDir, step: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a training that was interrupted after `step`."""
    end = Bookkeeping.on_step_end

    def interrupt(self: Bookkeeping, args: Any, state: Any, control: Any, **more: Any) -> None:
        end(self, args, state, control, **more)
        if state.global_step == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bookkeeping, "on_step_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(run, run.config.data.path)
    return run.path / "train" / "pool"


@pytest.mark.parametrize("updates", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_kept_policy_is_that_of_a_training_that_ends_there(tmp_path: Path, updates: int) -> None:
    """With a constant learning rate, a training of 2 steps is the beginning of one of 6."""
    constant = {"lr_scheduler_type": "constant", "warmup_steps": 0, "mini_batch_size": 8 // updates}
    run = _run(tmp_path / "long", **constant, trainer={})
    result = train(run, run.config.data.path)
    folder = result.policy.parent
    assert result.policies == {
        2: folder / "policies" / "step-000002",
        4: folder / "policies" / "step-000004",
        6: folder / "policy",
    }
    assert RunDir.peek(folder).read_record()["stages"]["train"]["policies"] == {
        "2": "policies/step-000002",
        "4": "policies/step-000004",
        "6": "policy",
    }
    short = _run(tmp_path / "short", **constant, trainer={}, steps=2, keep_checkpoints=None)
    expected = load_file(train(short, short.config.data.path).policy / "model.safetensors")
    weights = load_file(result.policies[2] / "model.safetensors")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    last = load_file(result.policy / "model.safetensors")
    assert any(not torch.equal(weights[name], last[name]) for name in last)
    assert AutoModelForCausalLM.from_pretrained(result.policies[4]).num_parameters() > 0


@pytest.mark.slow
def test_kept_policies_of_an_adapter_are_adapters_on_the_same_model(tmp_path: Path) -> None:
    run = _run(tmp_path, lora={"r": 2})
    for folder in train(run, run.config.data.path).policies.values():
        assert not (folder / "model.safetensors").exists()
        base = AutoModelForCausalLM.from_pretrained(model_path(run.config))
        adapted = PeftModel.from_pretrained(base, str(folder))
        assert any("lora_B" in name and bool(value.any()) for name, value in adapted.state_dict().items())


@pytest.mark.slow
def test_a_kept_policy_that_is_gone_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, whole = _run(tmp_path / "broken"), _run(tmp_path / "whole")
    training = _interrupted_after(run, 5, monkeypatch)
    shutil.rmtree(training / "policies" / "step-000002")
    policies, expected = train(run, run.config.data.path).policies, train(whole, whole.config.data.path).policies
    assert RunDir.peek(run.path / "train" / "pool").read_record()["stages"]["train"]["resumed_steps"] == 0
    for step, folder in expected.items():
        first, second = (load_file(path / "model.safetensors") for path in (folder, policies[step]))
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_an_interrupted_training_has_the_policies_kept_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path)
    _interrupted_after(run, 5, monkeypatch)
    assert policies_by_step(run, "pool") == {0: "base", 2: "train/pool@2", 4: "train/pool@4"}
    early = _digests(run.path / "train" / "pool" / "policies" / "step-000002")
    train(run, run.config.data.path)
    assert _digests(run.path / "train" / "pool" / "policies" / "step-000002") == early


@pytest.mark.slow
def test_what_a_killed_process_left_half_written_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path)
    training = _interrupted_after(run, 5, monkeypatch)
    for name in ("policies/.step-000004.7-abcd.tmp", ".policy.7-abcd.tmp"):
        (training / name).mkdir()
        (training / name / "model.safetensors").write_bytes(b"half")
    train(run, run.config.data.path)
    assert not list(training.rglob("*.tmp"))


@pytest.mark.slow
def test_the_disk_estimate_counts_every_kept_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {}
    for keep in (1, 3):
        run = _run(tmp_path / str(keep), keep_checkpoints=keep)
        train(run, run.config.data.path)
        needed[keep] = RunDir.peek(run.path / "train" / "pool").read_record()["stages"]["train"]["disk_bytes"]
    parameters = AutoModelForCausalLM.from_pretrained(model_path(run.config)).num_parameters()
    assert needed[3] - needed[1] == 2 * 4 * parameters
    small = _run(tmp_path / "small")
    usage = SimpleNamespace(free=needed[3] - 1)
    monkeypatch.setattr("learnalign.training.checkpoints.shutil.disk_usage", lambda _: usage)
    with pytest.raises(RunError, match=r"3 policies.*train\.keep_checkpoints"):
        train(small, small.config.data.path)
