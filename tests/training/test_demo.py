"""Trainings of the embedded model from start to end: GAIN-RL with four updates a step, and with RLOO."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnalign.config import load_config
from learnalign.policy import load_model
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.signals import signal
from learnalign.training import train


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_gain_rl_with_four_updates_a_step(tmp_path: Path, algorithm: str) -> None:
    changes = [
        "warmup.size=0",
        "train.curriculum=gain",
        "train.gain.sigma=200",
        "train.steps=3",
        "train.keep_checkpoints=3",
    ]
    changes += [
        "train.batch_size=32",
        "train.num_generations=4",
        "train.mini_batch_size=8",
        f"train.algorithm={algorithm}",
    ]
    changes += ["train.max_completion_length=24", "train.learning_rate=5e-3", "train.beta=0.001"]
    run = RunDir.create(tmp_path / "run", load_config("demo", changes))
    signal(run, ["angle"])
    result = train(run, run.config.data.path)
    assert (result.steps, result.ended, list(result.policies)) == (3, "steps", [1, 2, 3])
    visits = read_parquet(result.rewards).to_pydict()
    assert len(visits["id"]) == 3 * 8
    assert all(len(set(visits["id"][step : step + 8])) == 8 for step in (0, 8, 16))
    assert 0 < sum(visits["correct"]) < sum(visits["scored"])
    metrics = [json.loads(line) for line in result.metrics.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in metrics] == [1, 2, 3]
    assert any(line["clip_ratio/region_mean"] > 0 for line in metrics)  # the updates after the first leave the ratio 1
    assert all(load_model(run.config, str(folder)).num_parameters() > 0 for folder in result.policies.values())
