"""Several updates a step: Eq. 1 with its ratio and clip over mini-batches, one draw and one curriculum update a step."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from learnalign.errors import InputError
from learnalign.policy import model_path
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.training import train
from tests.tiny import make_run
from tests.training.equation import (
    SETTINGS,
    SGD,
    Ids,
    Recording,
    Weights,
    change_matches,
    groups_of,
    grpo_advantages,
    log_probs,
    recording,
    vary_lengths,
)

__all__ = ["recording"]
BETA, EPSILON = 0.5, 0.2


def _run(folder: Path, **train: Any) -> RunDir:
    settings = {**SETTINGS, "batch_size": 16, "num_train_epochs": 1, "beta": BETA, "epsilon": EPSILON, **train}
    settings["trainer"] = {**SGD, "per_device_train_batch_size": 2}
    run = make_run(folder, 8, verifier="tests.training.coin_verifier:coin", train=settings)
    vary_lengths(run)
    return run


def _model(run: RunDir, weights: Weights | None = None) -> Any:
    model = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.float64)
    if weights is not None:
        model.load_state_dict(weights)
    return model


def _grpo(policy: Any, old: Any, reference: Any, pair: tuple[Ids, Ids], advantage: float) -> torch.Tensor:
    """Eq. 1's term of one completion."""
    own = log_probs(policy, *pair)
    with torch.no_grad():
        before, gap = log_probs(old, *pair), log_probs(reference, *pair)
    ratio, kl = (own - before).exp(), (gap - own).exp() - (gap - own) - 1
    clipped = ratio.clamp(1 - EPSILON, 1 + EPSILON)
    return (torch.minimum(ratio * advantage, clipped * advantage) - BETA * kl).mean()


def _rloo(policy: Any, old: Any, _: Any, pair: tuple[Ids, Ids], advantage: float) -> torch.Tensor:
    """RLOO's term of one completion, whose ratio is that of its whole probability."""
    with torch.no_grad():
        before = log_probs(old, *pair).sum()
    ratio = (log_probs(policy, *pair).sum() - before).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - EPSILON, 1 + EPSILON) * advantage)


@torch.no_grad()
def _rloo_advantages(
    old: Any, reference: Any, prompt: Ids, completions: list[Ids], rewards: list[float | None]
) -> list[float]:
    """R_i − mean of the other scored R_j, R = r − β log π_old(o)/π_ref(o)."""
    penalised = [
        None
        if reward is None
        else reward - BETA * float((log_probs(old, prompt, ids) - log_probs(reference, prompt, ids)).sum())
        for ids, reward in zip(completions, rewards, strict=True)
    ]
    advantages = []
    for i, own in enumerate(penalised):
        others = [other for j, other in enumerate(penalised) if j != i and other is not None]
        advantages.append(own - sum(others) / len(others) if own is not None and others else 0.0)
    return advantages


@pytest.mark.parametrize(("algorithm", "rate"), [("grpo", 0.03), pytest.param("rloo", 0.03, marks=pytest.mark.slow)])
def test_every_update_is_the_gradient_of_its_mini_batch(
    tmp_path: Path, recording: Recording, algorithm: str, rate: float
) -> None:
    """Four updates of 4 completions a step, by plain SGD; in the later ones the ratio is not 1 and the clip binds."""
    run = _run(tmp_path, algorithm=algorithm, learning_rate=rate, mini_batch_size=4)
    assert train(run, run.config.data.path).steps == len(recording.batches) == 2
    assert len(recording.updates) == 8
    reference, terms, bound = _model(run), {"grpo": _grpo, "rloo": _rloo}[algorithm], 0.0
    weights = [_model(run).state_dict(), *recording.weights]
    for step, batch in enumerate(recording.batches):
        old = _model(run, weights[4 * step])
        advantages: dict[tuple[Ids, Ids], float] = {}
        for prompt, completions, rewards in groups_of(run, batch):
            values = (
                grpo_advantages(rewards)
                if algorithm == "grpo"
                else _rloo_advantages(old, reference, prompt, completions, rewards)
            )
            advantages |= {(prompt, ids): value for ids, value in zip(completions, values, strict=True)}
        taken = Counter(pair for update in recording.updates[4 * step : 4 * step + 4] for pair in update)
        sampled = Counter((prompt, ids) for prompt, completions, _ in groups_of(run, batch) for ids in completions)
        assert taken == sampled
        for number in range(4 * step, 4 * step + 4):
            policy, pairs = _model(run, weights[number]), recording.updates[number]
            assert len(pairs) == 4
            torch.stack([terms(policy, old, reference, pair, advantages[pair]) for pair in pairs]).mean().backward()
            gradients = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
            assert change_matches(weights[number], weights[number + 1], gradients, rate), number
            bound += _clipped(policy, old, pairs, advantages, algorithm == "rloo")
    assert bound > 0


@torch.no_grad()
def _clipped(policy: Any, old: Any, pairs: list[Any], advantages: dict[Any, float], whole: bool) -> float:
    """Ratios that the clip of Eq. 1 takes out of the gradient."""
    count = 0
    for pair in pairs:
        ratio = log_probs(policy, *pair) - log_probs(old, *pair)
        ratio = (ratio.sum() if whole else ratio).exp()
        advantage = advantages[pair]
        out = ratio > 1 + EPSILON if advantage > 0 else ratio < 1 - EPSILON
        count += int(out.sum()) * (advantage != 0)
    return count


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mini_batch_size": 6}, r"train\.mini_batch_size: got 6.*train\.batch_size \(16\)"),
        ({"mini_batch_size": 4, "trainer": {"save_steps": 6}}, r"save_steps: got 6.*the 4 updates of a step"),
        ({"mini_batch_size": 4, "trainer": {"per_device_train_batch_size": 8}}, r"divide train\.mini_batch_size \(4\)"),
    ],
)
def test_settings_that_do_not_divide_a_step_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = make_run(tmp_path, 8, train={**SETTINGS, "batch_size": 16, **changes})
    with pytest.raises(InputError, match=words):
        train(run, run.config.data.path)
    assert "train" not in RunDir.peek(run.path / "train" / "pool").read_record()["stages"]  # and may be corrected


def test_a_step_is_drawn_and_counted_once_however_many_updates_it_has(tmp_path: Path) -> None:
    """5 prompts, 2 a step, 2 epochs: 5 steps of 4 updates; metrics and visits are the steps'."""
    run = _run(tmp_path, batch_size=8, mini_batch_size=2, num_train_epochs=2, learning_rate=1e-3)
    lines = Path(run.config.data.path).read_text(encoding="utf-8").splitlines(keepends=True)
    subset = tmp_path / "five.jsonl"
    subset.write_text("".join(lines[:5]), encoding="utf-8")
    result = train(run, subset)
    assert (result.steps, result.ended) == (5, "epochs")
    rewards = read_parquet(result.rewards).to_pydict()
    assert rewards["epoch"] == [1] * 5 + [2] * 5
    logged = [json.loads(line) for line in result.metrics.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in logged] == [1, 2, 3, 4, 5]
    assert [line["epoch"] for line in logged] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert len({line["reward"] for line in logged}) > 1
