"""The stability of the top N against a plain loop, and its one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learnalign.selection import select
from learnalign.selection.stability import resample
from learnalign.summary import summarise
from tests.selection.measured import measured_run


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
    chosen, shares = resample(correct, scored, features, n=100, size=12, draws=2000, seed=3)
    assert set(chosen.tolist()) == top_by_loop(p * (1 - p), features, 100, 12)
    rng = np.random.default_rng(99)  # draws of its own
    kept = dict.fromkeys(chosen.tolist(), 0)
    for _ in range(2000):
        drawn = rng.beta(correct + 0.5, scored - correct + 0.5)
        for row in top_by_loop(drawn * (1 - drawn), features, 100, 12) & kept.keys():
            kept[row] += 1
    expected = np.array([kept[row] / 2000 for row in chosen.tolist()])
    assert np.abs(shares - expected).max() < 0.06  # 4 standard deviations of a difference of two shares
    assert shares.mean() == pytest.approx(expected.mean(), abs=0.02)


def test_more_rollouts_make_the_choice_more_stable(pool: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    correct, scored, features = pool
    _, few = resample(correct, scored, features, n=60, size=12)
    _, many = resample(correct * 1000, scored * 1000, features, n=60, size=12)
    assert few.mean() < 0.8 < many.mean()


def test_the_same_seed_gives_the_same_answer_and_rows_without_score_are_never_chosen() -> None:
    features = np.eye(4, dtype=np.float32)
    chosen, shares = resample([0, 2, 4, 1], [4, 4, 4, 2], features, n=4, size=4, draws=300, seed=5)
    _, again = resample([0, 2, 4, 1], [4, 4, 4, 2], features, n=4, size=4, draws=300, seed=5)
    assert chosen.tolist() == [1, 3]
    assert shares.tolist() == again.tolist() == [1.0, 1.0]  # all four fit, so nothing can push them out


def test_no_learnable_prompt_has_an_empty_answer() -> None:
    chosen, shares = resample([0, 4], [4, 4], np.eye(2, dtype=np.float32), n=2, size=2)
    assert len(chosen) == len(shares) == 0


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
