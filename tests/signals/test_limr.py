"""LIMR's score against the formula, and gaps in the rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.errors import RunError
from learnalign.signals.limr import alignment_scores, read_rewards


def write_rewards(path: Path, rows: list[tuple[str, int, int, int]]) -> Path:
    ids, epochs, correct, scored = zip(*rows, strict=True)
    pq.write_table(pa.table({"id": ids, "epoch": epochs, "correct": correct, "scored": scored}), path)
    return path


def test_scores_equal_the_formula() -> None:
    rewards = np.random.default_rng(0).random((9, 4))
    for i, score in enumerate(alignment_scores(rewards)):
        average = [sum(rewards[:, k]) / 9 for k in range(4)]
        above = sum((rewards[i, k] - average[k]) ** 2 for k in range(4))
        below = sum((1 - average[k]) ** 2 for k in range(4))
        assert score == pytest.approx(1 - above / below, rel=1e-12)


def test_rewards_are_fractions_of_scored_rollouts_added_up_over_steps(tmp_path: Path) -> None:
    rows = [("b", 0, 1, 4), ("a", 0, 2, 4), ("a", 1, 3, 4), ("b", 1, 4, 4), ("b", 0, 3, 4)]
    ids, rewards = read_rewards(write_rewards(tmp_path / "rewards.parquet", rows))
    assert ids == ["a", "b"]
    np.testing.assert_allclose(rewards, [[0.5, 0.75], [0.5, 1.0]])


def test_an_unfinished_last_epoch_is_left_out(tmp_path: Path) -> None:
    rows = [("a", 0, 1, 4), ("b", 0, 2, 4), ("a", 1, 4, 4)]
    _, rewards = read_rewards(write_rewards(tmp_path / "rewards.parquet", rows))
    np.testing.assert_allclose(rewards, [[0.25], [0.5]])


def test_a_training_without_a_whole_epoch_is_an_error(tmp_path: Path) -> None:
    path = write_rewards(tmp_path / "rewards.parquet", [("a", 0, 1, 4), ("b", 1, 2, 4)])
    with pytest.raises(RunError, match="no epoch saw every prompt"):
        read_rewards(path)


def test_a_prompt_with_an_unscored_epoch_has_no_score() -> None:
    scores = alignment_scores(np.array([[0.5, np.nan], [0.25, 0.5], [0.75, 1.0]]))
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1:]).all()
