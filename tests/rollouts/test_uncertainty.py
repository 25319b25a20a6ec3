"""Posteriors against brute force, and the stability of the top N against a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learnalign.rollouts.uncertainty import Prior, beta_binomial, credible_interval, fit_prior, stability


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
    chances = beta_binomial(trials, np.array([a, a]), np.array([b, b]))
    assert chances.shape == (2, trials + 1)
    assert chances[1] == pytest.approx(expected, rel=1e-9)
    assert chances.sum() == pytest.approx(2)


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
    fitted = fit_prior(correct.tolist(), scored.tolist())
    assert fitted.a / (fitted.a + fitted.b) == pytest.approx(prior.a / (prior.a + prior.b), abs=0.05)
    for shares in ((fitted.never, prior.never), (fitted.always, prior.always)):
        assert shares[0] == pytest.approx(shares[1], abs=0.08)
    chances = fitted.predict(np.array([0, 4, 2]), np.array([4, 4, 4]), 4)
    assert chances.sum(axis=1) == pytest.approx([1, 1, 1])
    for start, chance in ((0, chances[0, 0]), (4, chances[1, 4]), (2, chances[2, 2])):
        again = rng.binomial(4, p)
        first = rng.binomial(4, p)
        assert chance == pytest.approx((again[first == start] == {0: 0, 4: 4, 2: 2}[start]).mean(), abs=0.04)


def test_jeffreys_prior_predicts_by_beta_binomials() -> None:
    chances = Prior().predict(np.array([1, 0]), np.array([4, 0]), 3)
    assert chances[0] == pytest.approx(beta_binomial(3, np.array(1.5), np.array(3.5)))
    assert chances[1] == pytest.approx(beta_binomial(3, np.array(0.5), np.array(0.5)))


def test_nothing_scored_leaves_jeffreys_prior() -> None:
    assert fit_prior([0, 0], [0, 0]) == Prior(0.5, 0.5, 0.0, 0.0)


@pytest.fixture
def pool() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts and unit features of 60 prompts."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 16)) + 0.5
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    scored = rng.integers(4, 9, 60)
    return rng.binomial(scored, rng.uniform(0.1, 0.9, 60)), scored, features.astype(np.float32)


def top_by_loop(learnability: np.ndarray, features: np.ndarray, n: int, size: int) -> set[int]:
    """Eq. 8 through the whole matrix S in float64."""
    matrix = np.outer(learnability, learnability) * (features.astype(float) @ features.T.astype(float))
    scores = matrix.sum(1) / n
    return {int(i) for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:size] if scores[i] > 0}


def test_stability_against_a_loop_over_score_matrices(pool: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    correct, scored, features = pool
    p = correct / scored
    result = stability(correct, scored, features, n=100, size=12, draws=2000, seed=3)
    assert set(result.chosen.tolist()) == top_by_loop(p * (1 - p), features, 100, 12)
    rng = np.random.default_rng(99)  # draws of its own
    kept = dict.fromkeys(result.chosen.tolist(), 0)
    for _ in range(2000):
        drawn = rng.beta(correct + 0.5, scored - correct + 0.5)
        for row in top_by_loop(drawn * (1 - drawn), features, 100, 12) & kept.keys():
            kept[row] += 1
    expected = np.array([kept[row] / 2000 for row in result.chosen.tolist()])
    assert np.abs(result.kept - expected).max() < 0.06  # 4 standard deviations of a difference of two shares
    assert result.overlap == pytest.approx(expected.mean(), abs=0.02)
    assert result.count_at_90 == (result.kept >= 0.9).sum()


def test_more_rollouts_make_the_choice_more_stable(pool: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    correct, scored, features = pool
    few = stability(correct, scored, features, n=60, size=12)
    many = stability(correct * 1000, scored * 1000, features, n=60, size=12)
    assert few.overlap < 0.8 < many.overlap


def test_the_same_seed_gives_the_same_answer_and_rows_without_score_are_never_chosen() -> None:
    features = np.eye(4, dtype=np.float32)
    first = stability([0, 2, 4, 1], [4, 4, 4, 2], features, n=4, size=4, draws=300, seed=5)
    again = stability([0, 2, 4, 1], [4, 4, 4, 2], features, n=4, size=4, draws=300, seed=5)
    assert first.chosen.tolist() == [1, 3]
    assert first.kept.tolist() == again.kept.tolist() == [1.0, 1.0]  # all four fit, so nothing can push them out


def test_no_learnable_prompt_has_an_empty_answer() -> None:
    result = stability([0, 4], [4, 4], np.eye(2, dtype=np.float32), n=2, size=2)
    assert (len(result.chosen), result.count_at_90, result.overlap) == (0, 0, 0.0)
