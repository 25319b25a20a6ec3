"""Sampling: the right distribution, from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import TopPLogitsWarper

from learnalign.rollouts.engines.sampling import NONE, choose, uniforms


def spread(count: int) -> np.ndarray:
    """Evenly spread numbers in [0, 1): each token is hit by its probability × count of them, up to one."""
    return (np.arange(count) + 0.5) / count


def shares(logits: torch.Tensor, temperature: float, top_p: float, count: int = 20_000) -> np.ndarray:
    """How often each token is chosen over evenly spread numbers."""
    tokens = choose(logits.expand(count, -1), spread(count), temperature, top_p)
    return np.bincount(tokens.numpy(), minlength=logits.shape[-1]) / count


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_tokens_are_chosen_as_often_as_the_softmax_says(temperature: float) -> None:
    logits = torch.randn(1, 37, generator=torch.Generator().manual_seed(0)) * 3
    expected = torch.softmax(logits[0].double() / temperature, -1).numpy()
    assert np.abs(shares(logits, temperature, 1.0) - expected).max() < 1e-4


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9])
def test_the_nucleus_is_that_of_transformers(top_p: float) -> None:
    logits = torch.randn(1, 37, generator=torch.Generator().manual_seed(1)) * 2
    kept = TopPLogitsWarper(top_p)(torch.zeros(1, 1, dtype=torch.long), logits.double())
    assert np.abs(shares(logits, 1.0, top_p) - torch.softmax(kept, -1)[0].numpy()).max() < 1e-4


@pytest.mark.parametrize("top_p", [1e-300, 5e-324])
def test_a_nucleus_of_nearly_nothing_is_the_most_probable_token(top_p: float) -> None:
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(2))
    assert choose(logits, spread(8), 1.0, top_p).tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(("temperature", "top_p"), [(0, 1.0), (1.0, 1.0), (0.5, 0.9)])
def test_logits_that_are_not_finite_have_no_token(value: float, temperature: float, top_p: float) -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(2))
    logits[1, 7] = value
    tokens = choose(logits, spread(3), temperature, top_p).tolist()
    assert tokens[1] == NONE
    assert all(0 <= tokens[row] < 50 for row in (0, 2))


def test_temperature_zero_takes_the_largest_logit() -> None:
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(2))
    assert choose(logits, spread(8), 0, 1.0).tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_without_probability_is_never_chosen(number: float, dtype: torch.dtype) -> None:
    logits = torch.full((1, 1000), -torch.inf, dtype=dtype)
    logits[0, [3, 500]] = 0.0
    assert choose(logits, np.array([number]), 1.0, 1.0).item() in (3, 500)


def test_numbers_depend_on_seed_and_step_only() -> None:
    seeds, steps = np.array([7, 8, 9], np.uint64), np.array([0, 5, 2])
    alone = [uniforms(seeds[i : i + 1], steps[i : i + 1])[0] for i in range(3)]
    assert uniforms(seeds, steps).tolist() == alone


def test_numbers_are_uniform_and_uncorrelated_over_seeds_and_steps() -> None:
    seeds = np.arange(300, dtype=np.uint64)  # neighbouring seeds, the worst case
    numbers = np.stack([uniforms(seeds, np.full(300, step)) for step in range(300)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    expected = numbers.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # χ² with 19 degrees of freedom, p = 0.001
    for one, other in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.011  # 3.3 standard deviations


def test_published_splitmix_values() -> None:
    # SplitMix64 of a generator whose state is `mix(seed)`: computed here in Python's own integers.
    def mix(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    seed, step = 2**63 - 25, 3
    expected = (mix((mix(seed) + (step + 1) * 0x9E3779B97F4A7C15) % 2**64) >> 11) / 2**53
    assert uniforms(np.array([seed], np.uint64), np.array([step]))[0] == expected
