"""TRL's update is the paper's Eq. 1, computed in float64 from the sampled token ids alone; the length and order of a training."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from learnalign.curriculum import Shuffled
from learnalign.policy import model_path
from learnalign.prompts import load_prompts
from learnalign.training import warmup
from learnalign.training.job import Job, optimise
from learnalign.training.settings import micro_batch
from learnalign.training.steps import kept_steps
from tests.tiny import make_run
from tests.training.equation import (
    SETTINGS,
    SGD,
    Recording,
    change_matches,
    groups_of,
    grpo_advantages,
    log_probs,
    recording,
    vary_lengths,
)

__all__ = ["recording"]
BETA, RATE = 0.5, 3.0


def test_a_step_is_the_gradient_of_equation_1(tmp_path: Path, recording: Recording) -> None:
    """Two steps of plain SGD: in the second the policy differs from the reference, so the KL term counts."""
    settings = {**SETTINGS, "size": 4, "batch_size": 16, "num_train_epochs": 2, "learning_rate": RATE, "beta": BETA}
    settings["trainer"] = {**SGD, "per_device_train_batch_size": 4}
    run = make_run(tmp_path, verifier="tests.training.coin_verifier:coin", warmup=settings)
    vary_lengths(run)
    warmup(run)
    base = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.float64)
    policy = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.float64)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    for batch, after in zip(recording.batches, recording.weights, strict=True):
        policy.load_state_dict(before)
        policy.zero_grad()
        terms = []
        for prompt, completions, rewards in groups_of(run, batch):
            for ids, advantage in zip(completions, grpo_advantages(rewards), strict=True):
                own = log_probs(policy, prompt, ids)
                with torch.no_grad():
                    gap = log_probs(base, prompt, ids)
                ratio, kl = (own - own.detach()).exp(), (gap - own).exp() - (gap - own) - 1
                terms.append((torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage) - BETA * kl).mean())
        torch.stack(terms).mean().backward()
        gradients = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
        assert gradients.keys() == dict(policy.named_parameters()).keys()
        assert change_matches(before, after, gradients, RATE)
        before = after
    assert len(recording.batches) == 2
    assert len({len(ids) for batch in recording.batches for ids in batch[1]}) > 3
    assert any(len(set(rewards)) > 1 for batch in recording.batches for _, _, rewards in groups_of(run, batch))


def test_kept_steps_are_evenly_spaced_and_end_at_the_last() -> None:
    assert kept_steps(200, 4) == [50, 100, 150, 200]
    assert kept_steps(200, None) == kept_steps(200, 1) == [200]
    assert kept_steps(10, 3) == [3, 7, 10]
    assert kept_steps(3, 8) == kept_steps(3, 1 << 52) == [1, 2, 3]


def test_the_micro_batch_is_the_largest_divisor_that_fits() -> None:
    assert micro_batch(48, tokens=100, budget=2048) == 16
    assert micro_batch(48, tokens=10, budget=2048) == 48
    assert micro_batch(48, tokens=5000, budget=2048) == 1


def test_every_prompt_is_visited_once_an_epoch_and_its_rewards_are_kept(tmp_path: Path) -> None:
    """5 prompts, 2 a step: the third step takes the last of epoch 1 and the first of epoch 2."""
    settings = {"batch_size": 8, "num_generations": 4, "max_completion_length": 4, "num_train_epochs": 2}
    run = make_run(tmp_path, count=5, verifier="tests.training.coin_verifier:coin", warmup=settings)
    job = Job(
        section="warmup",
        settings=run.config.warmup,
        prompts=load_prompts(run),
        curriculum=Shuffled(5, seed=0),
        start=model_path(run.config),
        work=tmp_path / "work" / "job",
        output=tmp_path / "policy",
    )
    result = optimise(run, job)
    assert result.steps == 5
    assert len({visit.id for visit in result.visits[:5]}) == len({visit.id for visit in result.visits[5:]}) == 5
    assert [visit.epoch for visit in result.visits] == [1] * 5 + [2] * 5
    assert sum(4 - visit.scored for visit in result.visits) == result.unscored
    assert all(0 <= visit.correct <= visit.scored <= 4 for visit in result.visits)
