"""pass@k by enumeration, intervals against scipy-free references and by simulation."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest

from learnalign.errors import RunError
from learnalign.evaluation.metrics import estimate, ladder, metric, pass_at_k, wilson


@pytest.mark.parametrize("scored", [1, 2, 5, 8])
def test_pass_at_k_is_the_share_of_draws_with_a_correct_one(scored: int) -> None:
    for correct in range(scored + 1):
        outcomes = [1] * correct + [0] * (scored - correct)
        for k in range(1, scored + 1):
            draws = list(itertools.combinations(outcomes, k))
            expected = sum(any(draw) for draw in draws) / len(draws)
            assert pass_at_k(scored, correct, k) == pytest.approx(expected, abs=1e-12)


def test_metrics_leave_out_questions_with_too_few_scored_completions() -> None:
    counts = [(8, 8), (8, 0), (8, 2), (3, 3), (0, 0)]
    assert metric("pass@1", counts).value == pytest.approx(statistics.mean([1, 0, 0.25, 1]))
    assert metric("avg@8", counts).value == pytest.approx(statistics.mean([1, 0, 0.25]))
    assert metric("pass@8", counts).value == pytest.approx(2 / 3)
    assert metric("pass@8", counts).questions == 3
    assert metric("greedy", [(1, 1), (1, 0), (0, 0), (1, 0)]).value == pytest.approx(1 / 3)
    with pytest.raises(RunError, match=r"pass@9: no question has 9 scored completions \(the most is 8\)"):
        metric("pass@9", counts)


def test_the_interval_of_answers_of_0_and_1_is_wilson_s() -> None:
    """Wilson's interval solves (p̂ − p)² = z² p(1−p)/n for p."""
    interval = estimate([1.0] * 37 + [0.0] * 63)
    assert (interval.low, interval.high) == wilson(0.37, 100)
    for bound in (interval.low, interval.high):
        assert (0.37 - bound) ** 2 == pytest.approx(1.959963984540054**2 * bound * (1 - bound) / 100)


def test_the_interval_has_a_width_and_stays_in_range() -> None:
    for values in ([0.0] * 20, [1.0] * 20, [0.5] * 20, [1.0]):
        interval = estimate(values)
        assert 0 <= interval.low <= interval.value <= interval.high <= 1
        assert interval.high - interval.low > 0.1


def test_the_interval_covers_the_truth_if_completions_share_a_question() -> None:
    """Success rates from Beta(0.5, 0.5), 8 completions a question, 60 questions: 95 % of intervals hold 0.5."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        rates = rng.beta(0.5, 0.5, size=60)
        interval = estimate((rng.binomial(8, rates) / 8).tolist())
        hits += interval.low <= 0.5 <= interval.high
    assert 0.92 <= hits / 600 <= 0.98


def test_reported_metrics_begin_with_the_headline() -> None:
    assert ladder("avg@8", 8) == ["avg@8", "pass@1", "pass@2", "pass@4", "pass@8"]
    assert ladder("greedy", 1) == ["greedy"]
    assert ladder("pass@1", 1) == ["pass@1", "avg@1"]
    assert ladder("pass@3", 6) == ["pass@3", "pass@1", "pass@2", "pass@4", "pass@6", "avg@6"]
