"""FSDP and DeepSpeed, which divide a model among processes, on the CPU: their weights are those of plain data parallelism."""

from __future__ import annotations

import json
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from learnalign.signals import signal as add_signal
from learnalign.training import checkpoints
from tests.tiny import save_model
from tests.training.launched import CONFIGS, launch, make, process_of, round_weights, start, wait_for

DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed: make test-deepspeed")
KINDS = ["fsdp", pytest.param("deepspeed", marks=DEEPSPEED), pytest.param("zero3", marks=DEEPSPEED)]
COMMON = ("--json", "--trust", "--set", "train.trainer.gradient_checkpointing=true")  # as on a GPU, so that TRL samples
SGD = ("--set", "train.trainer.optim=sgd", "--set", "train.learning_rate=0.1")  # AdamW makes large steps of rounding

pytestmark = pytest.mark.slow


def _how(kind: str, folder: Path) -> dict[str, Any]:
    """What starts the processes: a shipped configuration, or a user's own ZeRO 3."""
    config = CONFIGS / f"{kind}.yaml"
    if kind == "zero3":
        settings = yaml.safe_load((CONFIGS / "deepspeed.yaml").read_text())
        settings["deepspeed_config"] |= {"zero_stage": 3, "zero3_init_flag": False}
        config = folder / "zero3.yaml"
        config.write_text(yaml.safe_dump(settings))
    return {"config": config, "module": "tests.training.divided"}


def _train(run: Path, name: str, *settings: str, **how: Any) -> Path:
    pool = str(run.parent / "pool.jsonl")
    code, _, errors = launch("train", str(run), "--subset", pool, "--name", name, *COMMON, *settings, **how)
    assert code == 0, errors
    return run / "train" / name


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kept_policy_is_that_of_plain_data_parallelism(tmp_path: Path, kind: str, tied: bool) -> None:
    model = save_model(tmp_path / "start", tie_word_embeddings=tied)
    reference = save_model(tmp_path / "reference", seed=1)
    run = make(tmp_path, {"name": str(model), "reference": str(reference)}).path
    settings = (*SGD, "--set", "train.keep_checkpoints=2")
    plain, divided = _train(run, "plain", *settings), _train(run, "divided", *settings, **_how(kind, tmp_path))
    for policy in ("policies/step-000001", "policy"):
        expected, found = (load_file(folder / policy / "model.safetensors") for folder in (plain, divided))
        assert expected.keys() == found.keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], atol=1e-6, rtol=1e-5)
    begin = load_file(model / "model.safetensors")
    assert begin.keys() == found.keys()
    assert any(not torch.equal(begin[name], found[name]) for name in begin)
    metrics = [(folder / "policy/metrics.jsonl").read_text().splitlines() for folder in (plain, divided)]
    for one, other in zip(*metrics, strict=True):
        for name in ("grad_norm", "kl", "reward"):
            assert json.loads(one)[name] == pytest.approx(json.loads(other)[name], rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_trained_in_bfloat16_keeps_its_small_steps(tmp_path: Path, kind: str) -> None:
    run = make(tmp_path).path
    begin = round_weights(tmp_path / "model")
    settings = (*SGD, "--set", "train.learning_rate=0.01", "--set", "train.trainer.bf16=true", "--set", "train.steps=1")
    plain, divided = _train(run, "plain", *settings), _train(run, "divided", *settings, **_how(kind, tmp_path))
    expected, found = (load_file(folder / "policy/model.safetensors") for folder in (plain, divided))
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    for name in ("model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.q_proj.weight", "lm_head.weight"):
        step, own = expected[name] - begin[name], found[name] - begin[name]
        assert step.norm() > 0
        assert (
            own - step
        ).norm() < 0.1 * step.norm()  # DeepSpeed's sums are in bfloat16; a rounded policy is at 3 and more


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_that_of_plain_data_parallelism(tmp_path: Path, kind: str) -> None:
    run = make(tmp_path).path
    settings = (*SGD, "--set", "train.lora={r: 4, target_modules: [q_proj, v_proj]}")
    plain, divided = _train(run, "plain", *settings), _train(run, "divided", *settings, **_how(kind, tmp_path))
    expected, found = (load_file(folder / "policy/adapter_model.safetensors") for folder in (plain, divided))
    assert expected.keys() == found.keys()
    assert not (divided / "policy/model.safetensors").exists()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-4)
    assert any(tensor.any() for name, tensor in found.items() if "lora_B" in name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_training_resumes_and_ends_the_same(tmp_path: Path, kind: str) -> None:
    run = make(tmp_path).path
    settings = ("--set", "train.steps=8", "--set", "train.trainer.save_steps=1", *COMMON)
    pool, folder, how = str(tmp_path / "pool.jsonl"), run / "train/killed", _how(kind, tmp_path)
    launcher = start("train", str(run), "--subset", pool, "--name", "killed", *settings, **how)
    wait_for(lambda: [*folder.rglob("checkpoint-[2-6]/learnalign.json")])
    process_of(launcher, 1).send_signal(signal.SIGKILL)
    launcher.communicate(timeout=200)
    assert launcher.returncode == 1
    sizes = [file.stat().st_size for file in checkpoints.latest(next(folder.rglob("checkpoint-*")).parent).rglob("*")]
    numbers = sum(tensor.numel() for tensor in load_file(tmp_path / "model/model.safetensors").values())
    taken = sum(size for size in sizes if size > 100_000) / numbers  # without tokenizer and settings
    counted = {
        "fsdp": checkpoints.FSDP_BYTES,
        "deepspeed": checkpoints.DEEPSPEED_BYTES,
        "zero3": checkpoints.ZERO3_BYTES,
    }
    assert 0.7 * counted[kind] < taken < 1.05 * counted[kind]  # ZeRO 3 could have the weights, too
    _train(run, "killed", *settings, **how)
    record = [json.loads(line) for line in (folder / "policy/metrics.jsonl").open()]
    assert [entry["step"] for entry in record] == list(range(1, 9))
    whole = load_file(_train(run, "whole", *settings, **how) / "policy/model.safetensors")
    found = load_file(folder / "policy/model.safetensors")
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_a_curriculum_that_runs_the_policy_alone_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path, size=0)
    add_signal(run, ["angle"])
    how, settings = _how("fsdp", tmp_path), (*COMMON, "--set", "train.curriculum=gain")
    code, _, errors = launch("train", str(run.path), "--subset", str(tmp_path / "pool.jsonl"), *settings, **how)
    assert code == 1
    assert errors.count("learnalign: ") == 1
    assert "train.curriculum gain: it runs the policy on the first process" in errors
