"""Warmup as a stage: what it trains on, what it writes, and that an interrupted one ends the same."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerState

from learnalign.errors import DiskError, InputError, RunError
from learnalign.policy import load_policy, load_tokenizer, model_path, policy_path
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.training import settings, warmup
from learnalign.training.warmup_stage import draw
from tests.tiny import make_run

SETTINGS: dict[str, Any] = {
    "size": 6,
    "num_train_epochs": 1,
    "batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 1e-3,
}


def _run(folder: Path, count: int = 12, **changes: Any) -> RunDir:
    return make_run(folder, count, verifier="tests.training.coin_verifier:coin", warmup={**SETTINGS, **changes})


def _weights(run: RunDir) -> dict[str, torch.Tensor]:
    return {k: v for path in sorted(run.warmup_dir.glob("*.safetensors")) for k, v in load_file(path).items()}


def test_warmup_writes_a_model_directory_with_new_weights_tokenizer_and_metrics(tmp_path: Path) -> None:
    run = _run(tmp_path)
    result = warmup(run)
    assert (result.trained, result.prompts, result.steps) == (True, 6, 3)
    assert policy_path(run) == str(run.warmup_dir) == result.policy
    policy = load_policy(run).state_dict()
    base = AutoModelForCausalLM.from_pretrained(model_path(run.config)).state_dict()
    assert policy.keys() == base.keys()
    assert any(not torch.equal(policy[name], base[name]) for name in base)
    text = "<|im_start|>user\nWhat is 1 + 1?<|im_end|>"
    assert AutoTokenizer.from_pretrained(run.warmup_dir)(text) == load_tokenizer(run.config)(text)
    lines = [json.loads(line) for line in (run.warmup_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert [line["epoch"] for line in lines] == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-3)
    assert {"reward", "kl", "loss", "learning_rate"} <= lines[0].keys()


def test_no_pickle_and_no_checkpoint_is_left(tmp_path: Path) -> None:
    run = _run(tmp_path)
    warmup(run)
    names = {path.name for path in run.path.rglob("*")}
    assert not [
        name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".tmp")) or "checkpoint" in name
    ]
    assert "work" not in names


def test_size_zero_gives_the_base_model(tmp_path: Path) -> None:
    run = _run(tmp_path, size=0)
    result = warmup(run)
    assert (result.trained, result.prompts, result.steps) == (False, 0, 0)
    assert result.policy == model_path(run.config)
    assert not run.warmup_dir.exists()
    assert run.is_finished("warmup")


def test_a_pool_smaller_than_size_is_taken_whole_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path, count=4, size=300)
    assert warmup(run).prompts == 4
    assert "all were taken" in capsys.readouterr().err
    assert "all were taken" in run.read_record()["stages"]["warmup"]["smaller_pool"]


def test_the_subset_depends_on_the_warmup_seed_alone(tmp_path: Path) -> None:
    prompts = load_prompts(_run(tmp_path))
    assert draw(prompts, 6, seed=3) == draw(prompts, 6, seed=3)
    assert draw(prompts, 6, seed=3) != draw(prompts, 6, seed=4)
    assert len({prompt.id for prompt in draw(prompts, 6, seed=3)}) == 6


@pytest.mark.slow
def test_two_warmups_with_one_seed_are_bitwise_the_same(tmp_path: Path) -> None:
    runs = [_run(tmp_path / name) for name in ("a", "b")]
    for run in runs:
        warmup(run)
    first, second = map(_weights, runs)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_running_again_trains_nothing(tmp_path: Path) -> None:
    run = _run(tmp_path)
    first = warmup(run)
    before = (run.warmup_dir / "model.safetensors").stat().st_mtime_ns
    assert warmup(run) == first
    assert (run.warmup_dir / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("lora", [None, pytest.param({"r": 4}, marks=pytest.mark.slow)])
def test_a_killed_warmup_resumes_and_ends_bitwise_the_same(tmp_path: Path, lora: dict[str, Any] | None) -> None:
    changes: dict[str, Any] = {"num_train_epochs": 4, "lora": lora, "trainer": {"save_steps": 2}}
    whole, killed = (_run(tmp_path / name, **changes) for name in ("whole", "killed"))
    process = subprocess.Popen([sys.executable, "-m", "tests.training.warmup_process", str(killed.path)])
    while not list((killed.path / "work" / "warmup").glob("checkpoint-*/learnalign.json")):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not killed.warmup_dir.exists()
    with pytest.raises(RunError, match="no policy yet"):
        policy_path(killed)

    warmup(killed)
    warmup(whole)
    assert 0 < killed.read_record()["stages"]["warmup"]["resumed_steps"] < 12
    assert killed.read_record()["stages"]["warmup"]["counts"] == whole.read_record()["stages"]["warmup"]["counts"]
    ended, expected = _weights(killed), _weights(whole)
    assert ended.keys() == expected.keys()
    assert all(torch.equal(ended[name], expected[name]) for name in expected)
    metrics = [
        [{**json.loads(line), "step_time": 0} for line in (run.warmup_dir / "metrics.jsonl").read_text().splitlines()]
        for run in (killed, whole)
    ]
    assert metrics[0] == metrics[1]


def test_training_raises_the_reward_it_trains_for(tmp_path: Path) -> None:
    settings = {**SETTINGS, "num_train_epochs": 7, "batch_size": 32, "num_generations": 16, "beta": 0.0}
    settings |= {"max_completion_length": 2, "learning_rate": 5e-3, "lr_scheduler_type": "constant"}
    run = make_run(tmp_path, verifier="tests.training.coin_verifier:low", warmup=settings)
    warmup(run)
    rewards = [json.loads(line)["reward"] for line in (run.warmup_dir / "metrics.jsonl").read_text().splitlines()]
    assert sum(rewards[:3]) / 3 < 0.6
    assert sum(rewards[-3:]) / 3 > 0.9


def test_an_incomplete_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    run = _run(tmp_path)
    half = run.path / "work" / "warmup" / "checkpoint-2"
    half.mkdir(parents=True)
    (half / "trainer_state.json").write_text('{"global_step": 2}')
    warmup(run)
    assert run.read_record()["stages"]["warmup"]["resumed_steps"] == 0


def test_an_adapter_is_saved_as_an_adapter_and_loads_on_the_base_model(tmp_path: Path) -> None:
    run = _run(tmp_path, lora={"r": 4, "lora_alpha": 8})
    warmup(run)
    assert (run.warmup_dir / "adapter_config.json").is_file()
    assert not (run.warmup_dir / "model.safetensors").exists()
    policy = load_policy(run)
    assert any("lora_B" in name and bool(value.any()) for name, value in policy.state_dict().items())
    assert (run.warmup_dir / "tokenizer.json").is_file()


def test_a_bfloat16_model_trains_in_float32_and_loads_as_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learnalign.policy.loading.faster_on_cpu", lambda own: own)  # whatever this CPU has
    run = _run(tmp_path, learning_rate=1e-6)
    base = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.bfloat16)
    base.save_pretrained(model_path(run.config))
    changed = run.config.model_copy(update={"model": run.config.model.model_copy(update={"dtype": "auto"})})
    run = RunDir.create(tmp_path / "auto", changed)
    warmup(run)
    weights = _weights(run)
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())
    moved = [not torch.equal(weights[name].bfloat16().float(), weights[name]) for name in weights]
    assert any(moved)  # a step of 1e-6, which bfloat16 cannot hold
    assert load_policy(run).dtype == torch.bfloat16


def test_trl_samples_with_vllm_at_temperatures_that_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(settings.importlib.util, "find_spec", lambda name: name)
    for temperature in (2.0, 2.5):
        config = _run(tmp_path / f"{temperature}", temperature=temperature).config
        assert settings._sampling(config.warmup, 8)["use_vllm"] == (temperature == 2.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 10}, r"warmup\.batch_size: got 10.*num_generations \(4\).*choose 8 or 12"),
        ({"num_generations": 1, "batch_size": 8}, r"warmup\.num_generations.*at least 2"),
        ({"trainer": {"per_device_train_batch_size": 3}}, r"must divide warmup\.batch_size \(8\)"),
        ({"trainer": {"use_vllm": True}}, r"use_vllm.*CPU"),
        (
            {"trainer": {"use_vllm": True}, "temperature": 2.5},
            r"warmup\.temperature: got 2\.5.*up to 2;.*use_vllm=false",
        ),
        ({"lr_scheduler_type": "cosin"}, r"TRL refuses.*cosin"),
        pytest.param({"lr_scheduler_type": "cosine_with_min_lr"}, r"TRL refuses.*min_lr", marks=pytest.mark.slow),
        ({"trainer": {"num_iterations": 0}}, r"warmup\.trainer\.num_iterations: got 0"),
        pytest.param(
            {"trainer": {"num_iterations": "x"}}, r"warmup\.trainer\.num_iterations: got 'x'", marks=pytest.mark.slow
        ),
        ({"trainer": {"top_k": "x"}}, r"warmup: TRL refuses"),
        ({"trainer": {"adam_beta1": 2.0}}, r"warmup: TRL refuses.*beta"),
        pytest.param({"trainer": {"weight_decay": [1]}}, r"warmup: TRL refuses", marks=pytest.mark.slow),
        pytest.param({"trainer": {"max_grad_norm": "x"}}, r"warmup: TRL refuses", marks=pytest.mark.slow),
        pytest.param({"trainer": {"logging_steps": 0}}, r"warmup", marks=pytest.mark.slow),
        pytest.param({"trainer": {"loss_type": "x"}}, r"warmup", marks=pytest.mark.slow),
        pytest.param({"trainer": {"optim": "x"}}, r"warmup: TRL refuses", marks=pytest.mark.slow),
        pytest.param({"lora": {"target_modules": "[", "r": 4}}, r"warmup: TRL refuses", marks=pytest.mark.slow),
        ({"lora": {"target_modules": "nothing", "r": 4}}, r"warmup: TRL refuses.*nothing"),
        ({"num_train_epochs": 1e6}, r"warmup\.num_train_epochs: got 1e\+06.*1,000,000 steps"),
        ({"steps": 10**12}, r"warmup\.steps: got 1e\+12.*1,000,000 steps"),
        ({"max_completion_length": 10**12}, r"warmup\.max_completion_length.*takes 512 tokens.*at most \d+"),
    ],
)
def test_invalid_settings_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = _run(tmp_path, **changes)
    with pytest.raises(InputError, match=words):
        warmup(run)
    assert not run.warmup_dir.exists()


def test_a_diverging_run_stops_and_names_the_step_and_the_ways_out(tmp_path: Path) -> None:
    run = _run(tmp_path, learning_rate=1e12, warmup_steps=0, steps=30, trainer={"max_grad_norm": 0.0})
    with pytest.raises(RunError, match=r"diverged at step \d+.*learning_rate"):
        warmup(run)
    assert not run.warmup_dir.exists()


def test_a_disk_that_is_too_small_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path)
    usage = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr("learnalign.training.checkpoints.shutil.disk_usage", lambda _: usage)
    with pytest.raises(RunError, match=r"needs 0\.0 GB of disk.*are free.*save_strategy"):
        warmup(run)


def test_a_write_of_the_trainers_own_that_the_disk_refuses_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: TrainerState, path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))  # as a write to an open file does: without a name

    monkeypatch.setattr(TrainerState, "save_to_json", refuse)
    run = _run(tmp_path)
    with pytest.raises(DiskError, match=f"cannot write {run.path}.*work.*the disk reports an error"):
        warmup(run)
