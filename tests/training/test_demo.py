"""Trainings of the embedded model from start to end: GAIN-RL with four updates a step, with RLOO too, and its curve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnalign.config import load_config
from learnalign.demo import TEST
from learnalign.evaluation import evaluate_curves
from learnalign.policy import load_model
from learnalign.rollouts import load_rollouts
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.signals import signal
from learnalign.training import train


@pytest.mark.slow
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
    changes += ["rollout.engine=transformers", "rollout.max_completion_length=24"]
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
    test_set = tmp_path / "test.jsonl"
    test_set.write_text("".join(TEST.read_text(encoding="utf-8").splitlines(keepends=True)[:6]), encoding="utf-8")
    curve = evaluate_curves(run, [str(test_set)], [result.name])
    assert [point.step for point in curve.points] == [0, 1, 2, 3]
    completions = [
        [one.text for shard in sub.shards() for one in load_rollouts(sub, shard)]
        for sub in (RunDir.open(point.results["test"].directory) for point in curve.points)
    ]
    assert [len(texts) for texts in completions] == [6, 6, 6, 6]
    assert completions[0] != completions[-1]  # a learning rate of 5e-3 leaves no policy as it was
