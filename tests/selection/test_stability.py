"""The stability of the top N against a plain loop, and its one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learnalign.selection import select, stability
from learnalign.selection.stability import TABLE, resample
from learnalign.summary import summarise
from tests.selection.measured import measured_run


@pytest.fixture(scope="module")
def pool() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts and unit features of 400 prompts."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(400, 16)) + 0.5
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    scored = rng.integers(4, 9, 400)
    return rng.binomial(scored, rng.uniform(0.1, 0.9, 400)), scored, features


def expected_alignment(correct: np.ndarray, scored: np.ndarray, features: np.ndarray) -> np.ndarray:
    """By the mean of p(1 − p) over many draws of p."""
    p = np.random.default_rng(8).beta(correct + 0.5, scored - correct + 0.5, (20_000, len(correct)))
    return features @ (features.T @ (p * (1 - p)).mean(axis=0)) / len(correct)


def top_by_loop(learnability: np.ndarray, features: np.ndarray, size: int) -> list[int]:
    """Eq. 8 through the whole matrix S."""
    matrix = np.outer(learnability, learnability) * (features @ features.T)
    scores = matrix.sum(1)
    return [i for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:size] if scores[i] > 0]


@pytest.mark.parametrize("size", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_stability_against_a_loop_over_score_matrices(
    pool: tuple[np.ndarray, np.ndarray, np.ndarray], size: int
) -> None:
    """In the loop a draw changes alignments, too."""
    correct, scored, features = pool
    shares = resample(correct, scored, expected_alignment(correct, scored, features), size, draws=1000, seed=3)
    rng = np.random.default_rng(99)  # draws of its own
    kept = np.zeros(len(correct))
    for _ in range(1000):
        drawn = rng.beta(correct + 0.5, scored - correct + 0.5)
        kept[top_by_loop(drawn * (1 - drawn), features, size)] += 1 / 1000
    p = correct / scored
    chosen = top_by_loop(p * (1 - p), features, size)
    assert np.abs(shares - kept).max() < 0.09  # 4 standard deviations of a difference of two shares
    assert shares[chosen].mean() == pytest.approx(kept[chosen].mean(), abs=0.02)
    assert shares.sum() == pytest.approx(size)


def test_more_rollouts_make_the_choice_more_stable(pool: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    correct, scored, features = pool
    alignment = expected_alignment(correct, scored, features)
    few = resample(correct, scored, alignment, 12)
    many = resample(correct * 1000, scored * 1000, alignment, 12)
    assert np.sort(few)[-12:].mean() < 0.8 < np.sort(many)[-12:].mean()


def test_the_same_seed_gives_the_same_answer_and_negative_scores_are_never_chosen() -> None:
    counts = np.array([1, 2, 3, 1]), np.array([4, 4, 4, 2])
    first, second = (resample(*counts, np.array([1.0, -1.0, 0.2, 0.1]), 3, draws=300, seed=5) for _ in range(2))
    assert first.tolist() == second.tolist() == [1.0, 0.0, 1.0, 1.0]  # three fit, so nothing can push them out


def test_no_learnable_prompt_has_an_empty_answer() -> None:
    assert len(resample(np.empty(0, int), np.empty(0, int), np.empty(0), 2)) == 0


def test_select_and_status_say_the_same_sentence(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0] * 16 + [1, 3, 4, 5, 6, 7, 2, 4])
    result = select(run, 12, fill=True)
    assert result.eligible < result.chosen == 12
    sentence = summarise(run)["stability"]["learnalign"]
    assert sentence in result.notes
    assert f"of the {result.eligible} chosen stay" in sentence


def test_a_stored_stability_is_read_without_torch() -> None:
    code = "import sys, learnalign.summary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("size", "count"), [(1, 400), (20, 397), (20, 398), (20, 399), (399, 400), (400, 400), (500, 400)]
)
def test_looking_at_the_likely_prompts_only_gives_the_shares_of_looking_at_all(size: int, count: int) -> None:
    rng = np.random.default_rng(1)
    correct, alignment = rng.integers(0, 9, count), rng.normal(0.1, 0.1, count)
    scored = np.where(rng.random(count) < 0.5, 8, 16)
    kept = resample(correct, scored, alignment, size, draws=50, seed=3)
    rng = np.random.default_rng(3)
    counts = np.unique(np.stack([correct, scored], axis=1), axis=0)
    p = rng.beta(counts[:, :1] + 0.5, counts[:, 1:] - counts[:, :1] + 0.5, (len(counts), TABLE))
    kind = [counts.tolist().index([c, s]) for c, s in zip(correct, scored, strict=True)]
    times = np.zeros(count)
    for _ in range(50):
        drawn = p[kind, rng.integers(TABLE, size=count, dtype=np.uint16)]
        scores = drawn * (1 - drawn) * alignment
        best = np.argsort(-scores)[:size]
        times[best[scores[best] > 0]] += 1
    np.testing.assert_array_equal(kept, times / 50)


def test_a_draw_that_reaches_below_the_likely_prompts_looks_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    correct, scored, alignment = np.full(50, 1), np.full(50, 2), np.linspace(1, 2, 50)
    few = resample(correct, scored, alignment, 10, draws=60)
    monkeypatch.setattr(stability, "NEARLY", 1.1)  # most draws end lower
    np.testing.assert_array_equal(resample(correct, scored, alignment, 10, draws=60), few)
