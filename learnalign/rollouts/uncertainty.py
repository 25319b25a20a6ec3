"""The posterior of a success rate p after few rollouts, and the prior of p over a pool.

With Jeffreys' prior Beta(1/2, 1/2), p = 0 and p = 1 of a finite group stay uncertain: after `correct` of `scored` rollouts
the posterior is Beta(correct + 1/2, scored − correct + 1/2).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

PRIOR = 0.5
_POINTS = 25
_MAXIMISATIONS = 50


def credible_interval(correct: int, scored: int, mass: float = 0.9) -> tuple[float, float]:
    """The central interval of p that holds `mass` of the posterior after `correct` of `scored` rollouts."""
    from scipy.special import betaincinv  # scipy.stats takes three times as long to import

    low, high = betaincinv(correct + PRIOR, scored - correct + PRIOR, [(1 - mass) / 2, (1 + mass) / 2])
    return float(low), float(high)


def expected_learnability(
    correct: Integer[np.ndarray, " n"], scored: Integer[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The mean of V = p(1 − p) over the posterior of p; for Beta(a, b) it is ab/((a + b)(a + b + 1))."""
    a, b = correct + PRIOR, scored - correct + PRIOR
    return a * b / ((a + b) * (a + b + 1))


def row_weights(
    learnability: Float[np.ndarray, " n"], correct: Integer[np.ndarray, " n"], scored: Integer[np.ndarray, " n"]
) -> Float[np.ndarray, "2 n"]:
    """What a choice weighs prompts with: V for the scores (Eq. 8), and its mean over the posterior of p for their stability."""
    return np.stack([learnability, expected_learnability(correct, scored)])


def beta_binomial(trials: int, a: Float[np.ndarray, "*n"], b: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n k"]:
    """Probabilities of 0…trials successes in `trials` rollouts if p has the distribution Beta(a, b); a, b > 0."""
    from scipy.stats import betabinom

    return betabinom.pmf(np.arange(trials + 1), trials, np.asarray(a)[..., None], np.asarray(b)[..., None])


@dataclass(frozen=True, slots=True)
class Prior:
    """The distribution of p over a pool: Beta(a, b), besides the shares of prompts that are `never` and `always` solved."""

    a: float = PRIOR
    b: float = PRIOR
    never: float = 0.0
    always: float = 0.0

    def predict(
        self, correct: Integer[np.ndarray, " n"], scored: Integer[np.ndarray, " n"], more: int
    ) -> Float[np.ndarray, "n k"]:
        """Probabilities of 0…more successes in `more` further rollouts of groups with `correct` of `scored`."""
        spread = beta_binomial(more, correct + self.a, scored - correct + self.b)
        weights = np.stack(
            [
                (1 - self.never - self.always) * _sequence(correct, scored, self.a, self.b),
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

    Searches the Beta's mean (0.01 to 0.99) and a + b (0.05 to 50) on a grid that is refined twice, and the shares by
    expectation maximisation at every point. Jeffreys' prior if nothing was scored.
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
        prior = Prior(float(a[i, j]), float(b[i, j]), float(never[i, j]), float(always[i, j]))
        logits = np.linspace(logits[max(i - 1, 0)], logits[min(i + 1, _POINTS - 1)], _POINTS)
        sizes = np.linspace(sizes[max(j - 1, 0)], sizes[min(j + 1, _POINTS - 1)], _POINTS)
    return prior


def _profile(counts: Counter[tuple[int, int]], a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    """The log-likelihood at every (a, b) with the best shares of never and always solved prompts, and these shares."""
    numbers = np.array(list(counts.values()), float)
    correct, scored = np.array(list(counts)).T
    beta = _sequence(correct, scored, a[..., None], b[..., None])
    none, every = (correct == 0).astype(float), (correct == scored).astype(float)
    never, always = np.full(a.shape, 0.1), np.full(a.shape, 0.1)
    for _ in range(_MAXIMISATIONS):
        total = (1 - never - always)[..., None] * beta + never[..., None] * none + always[..., None] * every
        never = (numbers * never[..., None] * none / total).sum(axis=-1) / numbers.sum()
        always = (numbers * always[..., None] * every / total).sum(axis=-1) / numbers.sum()
    return (numbers * np.log(total)).sum(axis=-1), never, always


def _sequence(correct: np.ndarray, scored: np.ndarray, a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """The probability of one order of `correct` of `scored` rollouts if p has the distribution Beta(a, b)."""
    from scipy.special import betaln

    return np.exp(betaln(correct + a, scored - correct + b) - betaln(a, b))
