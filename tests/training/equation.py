"""Eq. 1 in float64 from sampled token ids alone, and a recording of what a training sampled and became."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learnalign.policy import load_tokenizer, model_path, prompt_ids
from learnalign.rundir import RunDir
from learnalign.training.rewards import Rewards
from learnalign.training.trainer import Bookkeeping, Trainer

TEMPERATURE, GROUP = 0.8, 4
Weights = dict[str, torch.Tensor]
Ids = tuple[int, ...]
# Plain SGD and completions of at most 9 tokens; the step is batch_size / 4 prompts × 4 completions.
SETTINGS: dict[str, Any] = {"num_generations": GROUP, "max_completion_length": 9, "temperature": TEMPERATURE}
SETTINGS |= {"warmup_steps": 0, "lr_scheduler_type": "constant"}
SGD: dict[str, Any] = {"optim": "sgd", "max_grad_norm": 1e9}


@dataclass
class Recording:
    """Of each step, its completions with their rewards; of each update, what it took and the weights after it."""

    batches: list[Any] = field(default_factory=list)
    updates: list[list[tuple[Ids, Ids]]] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Records the trainings of a test."""
    record, taken = Recording(), []
    score, end = Rewards.__call__, Bookkeeping.on_step_end

    def scored(self: Rewards, completion_ids: Any, index: Any, **more: Any) -> Any:
        rewards = score(self, completion_ids, index, **more)
        record.batches.append((self.prompts, [tuple(ids) for ids in completion_ids], list(index), rewards))
        return rewards

    def compute_loss(self: Any, model: Any, inputs: Any) -> Any:
        for row in range(len(inputs["completion_ids"])):
            pair = [inputs[f"{kind}_ids"][row][inputs[f"{kind}_mask"][row].bool()] for kind in ("prompt", "completion")]
            taken.append((tuple(pair[0].tolist()), tuple(pair[1].tolist())))
        return super(Trainer, self)._compute_loss(model, inputs)

    def ended(self: Bookkeeping, *arguments: Any, **more: Any) -> None:
        assert self.trainer.model is not None
        record.updates.append(list(taken))
        taken.clear()
        state = self.trainer.model.state_dict()
        record.weights.append({name: value.detach().double().clone() for name, value in state.items()})
        end(self, *arguments, **more)

    monkeypatch.setattr(Rewards, "__call__", scored)
    monkeypatch.setattr(Trainer, "_compute_loss", compute_loss, raising=False)
    monkeypatch.setattr(Bookkeeping, "on_step_end", ended)
    return record


def vary_lengths(run: RunDir) -> None:
    """Many end tokens make completions of different lengths."""
    path = Path(model_path(run.config)) / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": list(range(60))}), encoding="utf-8")


def groups_of(run: RunDir, batch: Any) -> Iterator[tuple[Ids, list[Ids], list[float | None]]]:
    """Prompt, completions and rewards of each group of a step."""
    prompts, completions, index, rewards = batch
    tokenizer = load_tokenizer(run.config)
    for start in range(0, len(index), GROUP):
        prompt = tuple(prompt_ids(tokenizer, prompts[index[start]].messages))
        yield prompt, completions[start : start + GROUP], rewards[start : start + GROUP]


def log_probs(model: Any, prompt: Ids, completion: Ids) -> torch.Tensor:
    """log π(o_t | q, o_<t) of one completion, alone and unpadded, float64."""
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / TEMPERATURE
    return logits.log_softmax(-1)[torch.arange(len(completion)), torch.tensor(completion)]


def grpo_advantages(rewards: list[float | None]) -> list[float]:
    """Â of Eq. 1, with the sample std of the scored completions; 0 of those that could not be scored."""
    scored = np.array([reward for reward in rewards if reward is not None], dtype=np.float64)
    if len(scored) < 2:
        return [0.0] * len(rewards)
    spread = scored.std(ddof=1) + 1e-4
    return [0.0 if reward is None else float((reward - scored.mean()) / spread) for reward in rewards]


def change_matches(before: Weights, after: Weights, gradients: Weights, rate: float) -> bool:
    """Whether `after` is a step of plain SGD up `gradients`, within float32's rounding."""
    wrong = []
    for name, gradient in gradients.items():
        change = rate * gradient
        if (after[name] - before[name] - change).norm() > 2e-3 * change.norm() + 1e-6:
            wrong.append(name)
    return not wrong
