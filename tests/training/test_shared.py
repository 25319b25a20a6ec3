"""On a CPU, completions are sampled from the policy itself and share rows; settings that ask for more are still heeded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from learnalign.policy import load_tokenizer, model_path, prompt_ids
from learnalign.rundir import RunDir
from learnalign.training import warmup
from learnalign.training.shared import Shared
from tests.tiny import make_run
from tests.training.equation import Ids, Recording, recording, vary_lengths

__all__ = ["recording"]
STOP, TEMPERATURE = range(60), 0.4  # of vary_lengths


def _run(folder: Path, **changes: Any) -> RunDir:
    settings = {"size": 1, "batch_size": 8, "num_generations": 8, "max_completion_length": 12, "steps": 1}
    settings |= {"temperature": TEMPERATURE, "learning_rate": 1e-6, **changes}
    return make_run(folder, verifier="tests.training.coin_verifier:coin", warmup=settings)


def _sampled(run: RunDir, recording: Recording) -> tuple[Ids, list[Ids]]:
    """A prompt and its completions in a training's first step."""
    vary_lengths(run)
    warmup(run)
    prompts, completions, index, _ = recording.batches[0]
    return tuple(prompt_ids(load_tokenizer(run.config), prompts[index[0]].messages)), completions


def test_completions_are_samples_of_the_policy_at_its_temperature(tmp_path: Path, recording: Recording) -> None:
    """Mean log-probability of 300 completions of 2 tokens against the exact one, over all pairs of tokens in float64."""
    run = _run(tmp_path, batch_size=300, num_generations=300, max_completion_length=2)
    prompt, completions = _sampled(run, recording)
    model = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.float64)
    with torch.no_grad():
        first = model(torch.tensor([prompt])).logits[0, -1]
        second = model(torch.tensor([[*prompt, token] for token in range(len(first))])).logits[:, -1]

    def exact(temperature: float) -> torch.Tensor:
        """log π of each pair; of those that begin with an end token, only the first column counts."""
        own = (first / temperature).log_softmax(-1)[:, None] + (second / temperature).log_softmax(-1)
        ended = torch.full_like(own[STOP], -torch.inf)
        ended[:, 0] = (first / temperature).log_softmax(-1)[STOP]
        return torch.cat([ended, own[len(STOP) :]])

    log_probs = exact(TEMPERATURE)
    pairs = [(ids[0], 0 if len(ids) == 1 else ids[1]) for ids in completions]
    mean = torch.stack([log_probs[pair] for pair in pairs]).mean().item()

    def deviations(temperature: float) -> float:
        """Standard errors between the mean and that of samples at `temperature`."""
        weights, values = exact(temperature).exp(), log_probs.clamp(min=-1e9)
        expected = (weights * values).sum()
        error = ((weights * (values - expected) ** 2).sum() / len(pairs)).sqrt()
        return abs(mean - expected.item()) / error.item()

    assert math.isclose(log_probs.exp().sum().item(), 1)
    assert deviations(TEMPERATURE) < 4
    assert deviations(1.0) > 6


def test_completions_end_with_the_first_end_token_or_at_the_limit(tmp_path: Path, recording: Recording) -> None:
    _, completions = _sampled(_run(tmp_path, batch_size=64, num_generations=64), recording)
    assert len({len(ids) for ids in completions}) > 3
    for ids in completions:
        assert all(token not in STOP for token in ids[:-1])
        assert ids[-1] in STOP or len(ids) == 12


@pytest.mark.parametrize(
    ("trainer", "shares"),
    [
        ({}, (True, True)),
        ({"top_k": 1}, (True, False)),
        pytest.param({"generation_kwargs": {"no_repeat_ngram_size": 1}}, (True, False), marks=pytest.mark.slow),
        ({"gradient_checkpointing": True}, (False, False)),
        ({"bf16": True, "use_cpu": True}, (False, False)),
    ],
)
def test_settings_that_need_generate_get_it(
    tmp_path: Path,
    recording: Recording,
    monkeypatch: pytest.MonkeyPatch,
    trainer: dict[str, Any],
    shares: tuple[bool, bool],
) -> None:
    seen: list[tuple[bool, bool]] = []
    generate = Shared._generate_single_turn

    def recorded(self: Shared, *arguments: Any) -> Any:
        seen.append((self._sharing is not None, self._sampler is not None))
        return generate(self, *arguments)

    monkeypatch.setattr(Shared, "_generate_single_turn", recorded)
    _, completions = _sampled(_run(tmp_path, trainer=trainer), recording)
    assert seen == [shares]
    if "top_k" in trainer:
        assert len(set(completions)) == 1
    if "generation_kwargs" in trainer:
        assert all(len(set(ids)) == len(ids) for ids in completions)
