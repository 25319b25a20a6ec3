"""A training ends when its reward has stopped rising: the rule, and a real training that ends by it and resumes within it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from learnalign.config import UntilConfig
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.training import TrainResult, train
from learnalign.training.convergence import Convergence
from learnalign.training.saving import save_policy
from learnalign.training.trainer import Bookkeeping
from tests.tiny import make_run

Curve = Sequence[float | None]


def _end(curve: Curve, patience: int, min_delta: float) -> int | None:
    """The step after which training ends, from the whole curve: no mean of the `patience` steps before is a new best."""

    def mean(step: int) -> float:
        scored = [reward for reward in curve[step - patience : step] if reward is not None]
        return sum(scored) / len(scored) if scored else float("-inf")

    best_step = patience
    for step in range(patience + 1, len(curve) + 1):
        if mean(step) - min_delta > mean(best_step):
            best_step = step
        if step == best_step + patience:
            return step
    return None


def _followed(curve: Curve, patience: int, min_delta: float, break_at: int = -1) -> int | None:
    convergence = Convergence(UntilConfig(patience=patience, min_delta=min_delta))
    for step, reward in enumerate(curve, 1):
        convergence.update(reward)
        if convergence.reached:
            return step
        if step == break_at:
            state = json.loads(json.dumps(convergence.state_dict()))
            convergence = Convergence(UntilConfig(patience=patience, min_delta=min_delta))
            convergence.load_state_dict(state)
    return None


def test_a_curve_that_rises_and_flattens_ends_a_patience_after_its_last_best() -> None:
    rising = [step / 64 for step in range(32)]
    assert _followed([*rising, *[0.5] * 20], 4, 0.0) == 36 + 4  # the mean of 4 steps reaches 0.5 at step 36
    assert _followed([0.5] * 50, 8, 0.0) == 16
    assert _followed([step / 64 for step in range(200)], 8, 0.0) is None
    assert _followed([step / 64 for step in range(200)], 8, 1.0) == 16  # rises by 8/64 in 8 steps, less than min_delta


@pytest.mark.parametrize("seed", range(30))
def test_the_rule_is_that_of_the_whole_curve_also_when_resumed(seed: int) -> None:
    random_numbers = random.Random(seed)
    patience, min_delta = random_numbers.randint(1, 9), random_numbers.choice([0.0, 0.02, 0.1])
    curve = [
        None if random_numbers.random() < 0.1 else min(1.0, step / 80) * 0.6 + 0.3 * random_numbers.random()
        for step in range(200)
    ]
    expected = _end(curve, patience, min_delta)
    assert expected is not None
    assert _followed(curve, patience, min_delta) == expected
    assert _followed(curve, patience, min_delta, break_at=random_numbers.randint(1, expected - 1)) == expected


def _run(folder: Path, save_steps: int = 4) -> RunDir:
    """A training whose reward rises to 1 within about 20 steps, and which may take 60."""
    settings: dict[str, Any] = {"steps": 60, "until": {"patience": 5, "min_delta": 0.05}, "batch_size": 32}
    settings |= {"num_generations": 16, "beta": 0.0, "max_completion_length": 2, "learning_rate": 5e-3}
    settings |= {"lr_scheduler_type": "constant", "keep_checkpoints": 6, "trainer": {"save_steps": save_steps}}
    return make_run(folder, 8, verifier="tests.training.coin_verifier:low", train=settings)


def _rewards(result: TrainResult) -> list[float]:
    """Each step's mean reward, from the stored visits of its two prompts."""
    rows = read_parquet(result.rewards).to_pydict()
    return [sum(rows["correct"][i : i + 2]) / sum(rows["scored"][i : i + 2]) for i in range(0, len(rows["id"]), 2)]


@pytest.mark.slow
def test_a_training_ends_at_convergence_and_an_interrupted_one_at_the_same_step_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = _run(tmp_path / "whole"), _run(tmp_path / "broken")
    finished = train(whole, whole.config.data.path)
    rewards = _rewards(finished)
    assert (finished.ended, finished.steps) == ("converged", _end(rewards, 5, 0.05))
    assert finished.steps < 60
    assert sum(rewards[-5:]) > sum(rewards[:5]) + 0.2
    kept = [step for step in (10, 20, 30, 40, 50) if step < finished.steps]
    assert list(finished.policies) == [*kept, finished.steps]
    assert finished.policies[finished.steps] == finished.policy
    end = Bookkeeping.on_step_end

    def interrupt(self: Bookkeeping, args: Any, state: Any, control: Any, **more: Any) -> None:
        end(self, args, state, control, **more)
        if state.global_step == 11:  # after a policy was kept, and after the checkpoint of step 8
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bookkeeping, "on_step_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(broken, broken.config.data.path)
    resumed = train(broken, broken.config.data.path)
    entry = RunDir.peek(resumed.policy.parent).read_record()["stages"]["train"]
    assert entry["resumed_steps"] == 8
    assert (entry["ended"], list(entry["policies"])) == ("converged", [str(step) for step in finished.policies])
    assert _rewards(resumed) == rewards
    for step, folder in finished.policies.items():
        expected, weights = (load_file(path / "model.safetensors") for path in (folder, resumed.policies[step]))
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert train(broken, broken.config.data.path) == resumed


@pytest.mark.slow
def test_a_training_that_was_killed_after_it_converged_is_not_trained_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convergence at a step with a checkpoint, and no policy yet: the rewards and the weights are those of that step."""
    probe = _run(tmp_path / "probe")
    end = train(probe, probe.config.data.path).steps
    whole, broken = (_run(tmp_path / name, save_steps=end) for name in ("whole", "broken"))
    finished = train(whole, whole.config.data.path)
    with monkeypatch.context() as patch:
        patch.setattr("learnalign.training.job.save_policy", _killed_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            train(broken, broken.config.data.path)
    resumed = train(broken, broken.config.data.path)
    assert (resumed.steps, resumed.ended) == (finished.steps, "converged") == (end, "converged")
    assert _rewards(resumed) == _rewards(finished)
    assert list(resumed.policies) == list(finished.policies)
    expected, weights = (load_file(each.policy / "model.safetensors") for each in (finished, resumed))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert resumed.metrics.read_text().count("\n") == finished.metrics.read_text().count("\n") == end


def _killed_at_the_end(folder: Path, *more: Any) -> None:
    if "policy" in folder.name:
        raise KeyboardInterrupt
    save_policy(folder, *more)
