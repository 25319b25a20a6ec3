"""TRL's update is the paper's Eq. 1, computed here in float64 from the sampled token ids alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from learnalign.curriculum import Shuffled
from learnalign.policy import load_tokenizer, model_path, prompt_ids
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.training import warmup
from learnalign.training.job import Job, optimise
from learnalign.training.rewards import Rewards
from learnalign.training.settings import micro_batch
from learnalign.training.trainer import Bookkeeping
from tests.tiny import make_run

BETA, RATE, TEMPERATURE = 0.5, 3.0, 0.8


def _log_probs(model: Any, prompt: list[int], completion: list[int]) -> torch.Tensor:
    """log π(o_t | q, o_<t) of one completion, alone and unpadded, float64."""
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / TEMPERATURE
    return logits.log_softmax(-1)[torch.arange(len(completion)), torch.tensor(completion)]


def _objective(policy: Any, reference: Any, groups: list[dict[str, Any]]) -> torch.Tensor:
    """J of Eq. 1 at ratio 1, mean over the step's completions; Â with the sample std of the scored ones."""
    terms = []
    for group in groups:
        scored = np.array([reward for reward in group["rewards"] if reward is not None], dtype=np.float64)
        for completion, reward in zip(group["completions"], group["rewards"], strict=True):
            known = reward is not None and len(scored) > 1
            advantage = (reward - scored.mean()) / (scored.std(ddof=1) + 1e-4) if known else 0.0
            log_probs = _log_probs(policy, group["prompt"], completion)
            with torch.no_grad():
                gap = _log_probs(reference, group["prompt"], completion)
            ratio = (log_probs - log_probs.detach()).exp()
            kl = (gap - log_probs).exp() - (gap - log_probs) - 1
            clipped = ratio.clamp(0.8, 1.2)
            surrogate = torch.minimum(ratio * advantage, clipped * advantage)
            terms.append((surrogate - BETA * kl).mean())
    return torch.stack(terms).mean()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[dict[str, torch.Tensor]]]:
    """Each step's completions and rewards, and the weights after it."""
    steps: list[Any] = []
    weights: list[dict[str, torch.Tensor]] = []
    score, end = Rewards.__call__, Bookkeeping.on_step_end

    def record(self: Rewards, completion_ids: Any, index: Any, **more: Any) -> Any:
        rewards = score(self, completion_ids, index, **more)
        steps.append((self.prompts, [list(ids) for ids in completion_ids], list(index), rewards))
        return rewards

    def snapshot(self: Bookkeeping, *arguments: Any, **more: Any) -> None:
        assert self.trainer.model is not None
        weights.append({name: value.detach().double() for name, value in self.trainer.model.state_dict().items()})
        end(self, *arguments, **more)

    monkeypatch.setattr(Rewards, "__call__", record)
    monkeypatch.setattr(Bookkeeping, "on_step_end", snapshot)
    return steps, weights


def _groups(run: RunDir, step: Any) -> list[dict[str, Any]]:
    prompts, completions, index, rewards = step
    tokenizer = load_tokenizer(run.config)
    return [
        {
            "prompt": prompt_ids(tokenizer, prompts[index[start]].messages),
            "completions": completions[start : start + 4],
            "rewards": rewards[start : start + 4],
        }
        for start in range(0, len(index), 4)
    ]


def test_a_step_is_the_gradient_of_equation_1(tmp_path: Path, recorded: Any) -> None:
    """Two steps of plain SGD: in the second the policy differs from the reference, so the KL term counts."""
    settings: dict[str, Any] = {
        "size": 4,
        "batch_size": 16,
        "num_generations": 4,
        "max_completion_length": 9,
        "num_train_epochs": 2,
    }
    settings |= {"learning_rate": RATE, "beta": BETA, "temperature": TEMPERATURE, "warmup_steps": 0}
    settings |= {"lr_scheduler_type": "constant"}
    settings["trainer"] = {"optim": "sgd", "max_grad_norm": 1e9, "per_device_train_batch_size": 4}
    run = make_run(tmp_path, verifier="tests.training.coin_verifier:coin", warmup=settings)
    generation = Path(model_path(run.config)) / "generation_config.json"  # many EOS tokens vary the lengths
    generation.write_text(json.dumps({"eos_token_id": list(range(60))}))
    steps, weights = recorded
    warmup(run)
    base = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.float64)
    policy = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.float64)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    kl_counts = False
    for step, after in zip(steps, weights, strict=True):
        policy.load_state_dict(before)
        policy.zero_grad()
        _objective(policy, base, _groups(run, step)).backward()
        for name, parameter in policy.named_parameters():
            assert parameter.grad is not None
            expected = before[name] + RATE * parameter.grad
            change = (expected - before[name]).norm()
            assert (after[name] - expected).norm() <= 2e-3 * change + 1e-6, name
        kl_counts = kl_counts or any(not torch.equal(before[n], v) for n, v in base.state_dict().items())
        before = after
    assert kl_counts
    assert len(steps) == 2
    assert len({len(ids) for step in steps for ids in step[1]}) > 3
    assert any(len(set(group["rewards"])) > 1 for step in steps for group in _groups(run, step))


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
