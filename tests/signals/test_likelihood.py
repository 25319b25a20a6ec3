"""Likelihood signals against float64 computations token by token, and against transformers' own loss."""

from __future__ import annotations

import math

import pytest
import torch

from learnalign.signals.features import weighted_means
from learnalign.signals.likelihood import last_logits, mean_nll
from tests.signals.models import sequences, tiny


def nll_by_hand(model: torch.nn.Module, x: list[int], y: list[int]) -> float:
    """−1/T Σ log π(y_t | x, y_<t): one forward pass per token, no batch, no padding."""
    total = 0.0
    for t in range(len(y)):
        with torch.no_grad():
            logits = model(torch.tensor([[*x, *y[:t]]])).logits[0, -1].double()
        total -= math.log(float(torch.exp(logits[y[t]]) / torch.exp(logits).sum()))
    return total / len(y)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_mean_nll_equals_one_token_at_a_time(kind: str, batch_tokens: int) -> None:
    model = tiny(kind)
    texts = list(zip(sequences(3, 20, 1, 9), sequences(5, 1, 30, 12, seed=1), strict=True))
    nlls = mean_nll(model, texts, batch_tokens)
    assert nlls == pytest.approx([nll_by_hand(model, x, y) for x, y in texts], rel=1e-9)


def test_perplexity_equals_the_loss_that_transformers_computes() -> None:
    model = tiny(dtype=torch.float32)
    (x,), (y,) = sequences(6), sequences(14, seed=1)
    loss = model(torch.tensor([[*x, *y]]), labels=torch.tensor([[-100] * len(x) + y])).loss
    assert math.exp(mean_nll(model, [(x, y)], 4096)[0]) == pytest.approx(math.exp(float(loss)), rel=1e-5)


def test_last_logits_are_those_after_each_sequence() -> None:
    model, texts = tiny(), sequences(4, 11, 4, 1)
    for logits, text in zip(last_logits(model, texts), texts, strict=True):
        expected = model(torch.tensor([text])).logits[0, -1]
        torch.testing.assert_close(logits.double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_features_weigh_hidden_states_by_position(kind: str) -> None:
    model, texts = tiny(kind), sequences(1, 8, 21)
    for mean, text in zip(weighted_means(model, texts), texts, strict=True):
        hidden = model(torch.tensor([text]), output_hidden_states=True).hidden_states[-1][0]
        expected = sum((i + 1) * h for i, h in enumerate(hidden)) / sum(range(1, len(text) + 1))
        torch.testing.assert_close(mean, expected, atol=1e-12, rtol=1e-9)
