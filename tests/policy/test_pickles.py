"""Pickles that lie in a model's, an adapter's or a checkpoint's directory are never executed."""

from __future__ import annotations

import contextlib
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from learnalign.policy import load_model, load_policy
from learnalign.rundir import RunDir
from learnalign.training import warmup
from learnalign.training.checkpoints import STATE
from learnalign.training.trainer import Bookkeeping
from tests.tiny import make_config, make_run, save_model


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


def plant(path: Path, ran: Path, raw: bool) -> None:
    if raw:
        path.write_bytes(pickle.dumps(Planted(ran)))
    else:
        torch.save({"lm_head.weight": Planted(ran)}, path)
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert ran.is_file()  # it would work
    ran.unlink()


@pytest.mark.parametrize("raw", [True, False])
def test_a_models_are_not(tmp_path: Path, raw: bool) -> None:
    config, ran = make_config(tmp_path), tmp_path / "ran"
    (tmp_path / "model" / "model.safetensors").unlink()
    plant(tmp_path / "model" / "pytorch_model.bin", ran, raw)
    with contextlib.suppress(Exception):
        load_model(config)
    assert not ran.exists()


@pytest.mark.parametrize("raw", [True, False])
def test_an_adapters_are_not(tmp_path: Path, raw: bool) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapter, ran = tmp_path / "adapter", tmp_path / "ran"
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path / "base"))
    get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM")).save_pretrained(adapter)
    (adapter / "adapter_model.safetensors").unlink()
    plant(adapter / "adapter_model.bin", ran, raw)
    run = make_run(tmp_path, model={"adapter": str(adapter)})
    with contextlib.suppress(Exception):
        load_policy(run)
    assert not ran.exists()


def test_a_checkpoints_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"size": 4, "batch_size": 8, "num_generations": 4, "max_completion_length": 8, "num_train_epochs": 2}
    run, ran = make_run(tmp_path, warmup=sizes), tmp_path / "ran"
    ended = Bookkeeping.on_step_end

    def interrupt(self: Bookkeeping, args: object, state: object, control: object, **more: object) -> object:
        if (run.path / "work" / "warmup" / "checkpoint-1" / STATE).is_file():
            raise KeyboardInterrupt
        return ended(self, args, state, control, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Bookkeeping, "on_step_end", interrupt)
        warmup(run)
    [checkpoint] = (run.path / "work" / "warmup").iterdir()
    names = [path.name for path in checkpoint.iterdir() if path.suffix in (".pt", ".pth", ".bin")]
    assert "optimizer.pt" in names
    for name in names:
        for raw in (True, False):
            copy = RunDir.create(tmp_path / f"{name}-{raw}", run.config)
            shutil.copytree(run.path, copy.path, dirs_exist_ok=True)
            plant(copy.path / checkpoint.relative_to(run.path) / name, ran, raw)
            with contextlib.suppress(Exception):
                warmup(copy)
            assert not ran.exists()
