"""SelectIT's three levels against the formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from learnalign.signals.selectit import sentence_score, token_scores


def by_hand(logits: list[float]) -> float:
    total = sum(math.exp(z) for z in logits)
    q = [math.exp(z) / total for z in logits]
    best = max(range(len(q)), key=lambda k: q[k])
    return (best + 1) * sum(q[best] - other for other in q) / (len(q) - 1)


def test_token_scores_equal_the_formula() -> None:
    logits = np.random.default_rng(0).standard_normal((6, 4, 5)) * 3
    expected = [[by_hand(row) for row in rows] for rows in logits.tolist()]
    np.testing.assert_allclose(token_scores(torch.from_numpy(logits)), expected, rtol=1e-12)


def test_token_scores_reach_from_zero_to_k() -> None:
    sure, unsure = torch.tensor([0.0, 0.0, 0.0, 0.0, 100.0]), torch.zeros(5)
    assert token_scores(torch.stack([sure, unsure])).tolist() == pytest.approx([5.0, 0.0])


def test_sentence_scores_fall_with_disagreement() -> None:
    scores = np.random.default_rng(1).random((7, 5))
    expected = scores.mean(axis=1) / (1 + 0.2 * scores.std(axis=1))
    np.testing.assert_allclose(sentence_score(torch.from_numpy(scores)), expected, rtol=1e-12)
