"""Posterior of the success rate p after few rollouts, and the prior fitted to a pool.

Jeffreys' prior Beta(1/2, 1/2): p = 0 and p = 1 of a finite group stay uncertain, and the posterior after `correct` of
`scored` rollouts is Beta(correct + 1/2, scored − correct + 1/2).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

PRIOR = 0.5
_GRID = 4096
_POINTS = 25
_MAXIMISATIONS = 50


def credible_interval(correct: int, scored: int, mass: float = 0.9) -> tuple[float, float]:
    """The central interval of p that holds `mass` of the posterior after `correct` of `scored` rollouts.

    With p = sin²θ, Jeffreys' posterior has the density sin^{2c}θ · cos^{2(s−c)}θ in θ, smooth on [0, π/2]: its
    quantiles are read off a cumulative sum over a grid (error below 1e-6).
    """
    angles = np.linspace(0.0, np.pi / 2, _GRID + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = 2 * correct * np.log(np.sin(angles)) if correct else np.zeros_like(angles)
        misses = 2 * (scored - correct) * np.log(np.cos(angles)) if scored > correct else np.zeros_like(angles)
    density = np.exp(hits + misses - np.max(hits + misses))
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    tails = np.array([(1 - mass) / 2, (1 + mass) / 2])
    low, high = np.sin(np.interp(tails, cumulative / cumulative[-1], angles)) ** 2
    return float(low), float(high)


def beta_binomial(trials: int, a: Float[np.ndarray, "*n"], b: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n k"]:
    """Probabilities of 0…trials successes in `trials` rollouts where p has the distribution Beta(a, b); a, b > 0."""
    hits = np.arange(trials + 1)
    steps = np.arange(trials)
    a, b = np.asarray(a, float)[..., None], np.asarray(b, float)[..., None]
    rising_a = _cumulative(np.log(a + steps))
    rising_b = _cumulative(np.log(b + steps))
    rising_sum = np.log(a + b + steps).sum(axis=-1, keepdims=True)
    choices = np.array([math.log(math.comb(trials, k)) for k in hits])
    return np.exp(choices + rising_a + rising_b[..., ::-1] - rising_sum)


def _cumulative(terms: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, … all terms along the last axis."""
    return np.concatenate([np.zeros((*terms.shape[:-1], 1)), np.cumsum(terms, axis=-1)], axis=-1)


@dataclass(frozen=True, slots=True)
class Prior:
    """How p is spread over a pool: Beta(a, b), and beside it shares of prompts that are `never` and `always` solved."""

    a: float = PRIOR
    b: float = PRIOR
    never: float = 0.0
    always: float = 0.0

    def predict(
        self, correct: Integer[np.ndarray, " n"], scored: Integer[np.ndarray, " n"], more: int
    ) -> Float[np.ndarray, "n k"]:
        """Probabilities of 0…more successes in `more` further rollouts of groups with `correct` of `scored`."""
        spread = beta_binomial(more, correct + self.a, scored - correct + self.b)
        shares = [
            _sequence(int(c), int(s), np.array(self.a), np.array(self.b)) for c, s in zip(correct, scored, strict=True)
        ]
        weights = np.stack(
            [
                (1 - self.never - self.always) * np.array(shares, float),
                self.never * (correct == 0),
                self.always * (correct == scored),
            ]
        )
        weights /= weights.sum(axis=0)
        chances = weights[0][:, None] * spread
        chances[:, 0] += weights[1]
        chances[:, -1] += weights[2]
        return chances


def fit_prior(correct: Sequence[int], scored: Sequence[int]) -> Prior:
    """The Prior under which the groups' counts are most probable; a group's size may depend on its own results.

    Searched over the Beta's mean (0.01 to 0.99) and a + b (0.05 to 50) on a grid that is refined twice, the shares by
    expectation maximisation at every point. Jeffreys' prior where nothing was scored.
    """
    counts = Counter((c, s) for c, s in zip(correct, scored, strict=True) if s)
    if not counts:
        return Prior()
    logits, sizes = np.linspace(-4.6, 4.6, _POINTS), np.linspace(math.log(0.05), math.log(50.0), _POINTS)
    for _ in range(3):
        means = 1 / (1 + np.exp(-logits))
        a, b = np.outer(means, np.exp(sizes)), np.outer(1 - means, np.exp(sizes))
        likelihood, never, always = _profile(counts, a, b)
        i, j = divmod(int(np.argmax(likelihood)), _POINTS)
        found = Prior(float(a[i, j]), float(b[i, j]), float(never[i, j]), float(always[i, j]))
        logits = np.linspace(logits[max(i - 1, 0)], logits[min(i + 1, _POINTS - 1)], _POINTS)
        sizes = np.linspace(sizes[max(j - 1, 0)], sizes[min(j + 1, _POINTS - 1)], _POINTS)
    return found


def _profile(counts: Counter[tuple[int, int]], a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    """The log-likelihood at every (a, b) with the best shares of never and always solved prompts, and these shares."""
    numbers = np.array(list(counts.values()), float)
    beta = np.stack([_sequence(c, s, a, b) for c, s in counts], axis=-1)
    none = np.array([c == 0 for c, _ in counts], float)
    every = np.array([c == s for c, s in counts], float)
    never, always = np.full(a.shape, 0.1), np.full(a.shape, 0.1)
    for _ in range(_MAXIMISATIONS):
        total = (1 - never - always)[..., None] * beta + never[..., None] * none + always[..., None] * every
        never = (numbers * never[..., None] * none / total).sum(axis=-1) / numbers.sum()
        always = (numbers * always[..., None] * every / total).sum(axis=-1) / numbers.sum()
    return (numbers * np.log(total)).sum(axis=-1), never, always


def _sequence(correct: int, scored: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The probability of one order of `correct` of `scored` rollouts where p has the distribution Beta(a, b)."""
    logs = sum((np.log(a + i) for i in range(correct)), np.zeros(np.shape(a)))
    logs = sum((np.log(b + i) for i in range(scored - correct)), logs)
    return np.exp(sum((-np.log(a + b + i) for i in range(scored)), logs))
