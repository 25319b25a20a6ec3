"""Posteriors against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learnalign.rollouts.uncertainty import Prior, beta_binomial, credible_interval, fit_prior


def posterior_below(bound: float, correct: int, scored: int) -> float:
    """P(p ≤ bound) of Beta(correct + 1/2, scored − correct + 1/2), integrated in √p to tame the pole at 0."""
    a, b = correct + 0.5, scored - correct + 0.5
    if bound > 0.5:
        return 1 - posterior_below(1 - bound, scored - correct, scored)
    steps = 400_000
    root = math.sqrt(bound)
    u = (np.arange(steps) + 0.5) / steps * root  # p = u²
    density = 2 * u ** (2 * a - 1) * (1 - u**2) ** (b - 1)
    beta = math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    return float(density.sum() * root / steps / beta)


@pytest.mark.parametrize(("correct", "scored"), [(0, 0), (0, 4), (4, 4), (1, 8), (8, 8), (13, 32), (0, 1), (500, 1000)])
@pytest.mark.parametrize("mass", [0.5, 0.9])
def test_the_interval_holds_its_mass_and_cuts_equal_tails(correct: int, scored: int, mass: float) -> None:
    low, high = credible_interval(correct, scored, mass)
    assert posterior_below(low, correct, scored) == pytest.approx((1 - mass) / 2, abs=1e-4)
    assert posterior_below(high, correct, scored) == pytest.approx((1 + mass) / 2, abs=1e-4)


@pytest.mark.parametrize(("trials", "a", "b"), [(0, 0.5, 0.5), (4, 0.5, 4.5), (8, 2.0, 3.0), (16, 30.0, 0.1)])
def test_beta_binomial_against_gamma_functions(trials: int, a: float, b: float) -> None:
    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    expected = [
        math.comb(trials, k) * math.exp(log_beta(k + a, trials - k + b) - log_beta(a, b)) for k in range(trials + 1)
    ]
    found = beta_binomial(trials, np.array([a, a]), np.array([b, b]))
    assert found.shape == (2, trials + 1)
    assert found[1] == pytest.approx(expected, rel=1e-9)
    assert found.sum() == pytest.approx(2)


@pytest.mark.parametrize("prior", [Prior(0.5, 0.8), Prior(2.0, 1.0, 0.3, 0.0), Prior(4.0, 4.0, 0.2, 0.4)])
def test_the_fitted_prior_is_the_one_the_groups_came_from(prior: Prior) -> None:
    rng = np.random.default_rng(0)
    count = 40_000
    p = rng.beta(prior.a, prior.b, count)
    kind = rng.uniform(size=count)
    p = np.where(kind < prior.never, 0.0, np.where(kind > 1 - prior.always, 1.0, p))
    correct, scored = rng.binomial(4, p), np.full(count, 4)
    going = (correct > 0) & (correct < 4)  # groups stop depending on what they showed
    correct, scored = np.where(going, correct + rng.binomial(4, p), correct), np.where(going, 8, scored)
    found = fit_prior(correct.tolist(), scored.tolist())
    assert found.a / (found.a + found.b) == pytest.approx(prior.a / (prior.a + prior.b), abs=0.05)
    for shares in ((found.never, prior.never), (found.always, prior.always)):
        assert shares[0] == pytest.approx(shares[1], abs=0.08)
    chances = found.predict(np.array([0, 4, 2]), np.array([4, 4, 4]), 4)
    assert chances.sum(axis=1) == pytest.approx([1, 1, 1])
    for start, chance in ((0, chances[0, 0]), (4, chances[1, 4]), (2, chances[2, 2])):
        again = rng.binomial(4, p)
        first = rng.binomial(4, p)
        assert chance == pytest.approx((again[first == start] == {0: 0, 4: 4, 2: 2}[start]).mean(), abs=0.04)


def test_jeffreys_prior_predicts_by_beta_binomials() -> None:
    found = Prior().predict(np.array([1, 0]), np.array([4, 0]), 3)
    assert found[0] == pytest.approx(beta_binomial(3, np.array(1.5), np.array(3.5)))
    assert found[1] == pytest.approx(beta_binomial(3, np.array(0.5), np.array(0.5)))


def test_nothing_scored_leaves_jeffreys_prior() -> None:
    assert fit_prior([0, 0], [0, 0]) == Prior(0.5, 0.5, 0.0, 0.0)
