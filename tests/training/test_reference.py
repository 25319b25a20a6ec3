"""π_ref of Eq. 1 is the model trained from, or `model.reference`: for all weights and for an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from learnalign.policy import model_path
from learnalign.rundir import RunDir
from learnalign.training import train
from tests.tiny import make_run, save_model
from tests.training.equation import (
    SETTINGS,
    SGD,
    Recording,
    change_matches,
    groups_of,
    grpo_advantages,
    log_probs,
    recording,
)

__all__ = ["recording"]
BETA, RATE = 0.5, 3.0


def _objective(policy: Any, reference: Any, run: RunDir, batch: Any) -> torch.Tensor:
    """J of Eq. 1 at ratio 1, the mean over the step's completions."""
    terms = []
    for prompt, completions, rewards in groups_of(run, batch):
        for completion, advantage in zip(completions, grpo_advantages(rewards), strict=True):
            own = log_probs(policy, prompt, completion)
            with torch.no_grad():
                gap = log_probs(reference, prompt, completion)
            ratio = (own - own.detach()).exp()
            terms.append((ratio * advantage - BETA * ((gap - own).exp() - (gap - own) - 1)).mean())
    return torch.stack(terms).mean()


def _run(folder: Path, reference: str | None, **train: Any) -> RunDir:
    settings = {**SETTINGS, "batch_size": 16, "num_train_epochs": 1, "learning_rate": RATE, "beta": BETA}
    settings |= {"trainer": SGD, **train}
    run = make_run(folder, 8, verifier="tests.training.coin_verifier:coin", train=settings)
    config = run.config.model_copy(update={"model": run.config.model.model_copy(update={"reference": reference})})
    return RunDir.create(run.path, config)


@pytest.mark.parametrize("lora", [False, pytest.param({"r": 2, "lora_alpha": 8}, marks=pytest.mark.slow)])
@pytest.mark.parametrize("other", [False, True])
def test_a_step_s_kl_is_to_the_reference(tmp_path: Path, recording: Recording, lora: Any, other: bool) -> None:
    reference_path = str(save_model(tmp_path / "other", seed=7)) if other else None
    run = _run(tmp_path, reference_path, lora=lora)
    result = train(run, run.config.data.path)
    record = RunDir.open(result.policy.parent).read_record()["stages"]["train"]
    assert record["reference"] == (reference_path or model_path(run.config))
    base = {"dtype": torch.float64}
    reference = AutoModelForCausalLM.from_pretrained(record["reference"], **base)
    policy = AutoModelForCausalLM.from_pretrained(model_path(run.config), **base)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    if lora:  # A is random: the first update, which moves B only, says what the second one begins with
        policy = get_peft_model(policy, LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", **lora)).double()
        before = recording.weights[0]
    checked = 0
    for batch, after in list(zip(recording.batches, recording.weights, strict=True))[bool(lora) :]:
        policy.load_state_dict(before)
        policy.zero_grad()
        _objective(policy, reference, run, batch).backward()
        gradients = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
        assert change_matches(before, after, gradients, RATE)
        before, checked = after, checked + 1
    assert checked == 2 - bool(lora)
