"""Adaptive groups: which ones stop, and whether the report's expectations match full groups."""

from __future__ import annotations

import numpy as np
import pytest

from learnalign.rollouts.adaptive import FirstHalf, first_half, needs_second_half, report
from learnalign.rollouts.groups import Outcome
from learnalign.rollouts.success import success_of


@pytest.mark.parametrize(("generations", "half"), [(1, 1), (2, 1), (3, 2), (8, 4), (9, 5)])
def test_the_first_half_is_the_larger_one(generations: int, half: int) -> None:
    assert first_half(generations) == half


def test_uniform_halves_stop_and_unscored_ones_go_on() -> None:
    halves = [FirstHalf(0, 4), FirstHalf(4, 4), FirstHalf(2, 4), FirstHalf(0, 0), FirstHalf(1, 1), FirstHalf(1, 2)]
    assert needs_second_half(halves, 8, share=1.0) == [False, False, True, True, False, True]


def test_only_uniform_halves_stop_if_the_whole_pool_is_chosen() -> None:
    halves = [FirstHalf(correct, 16) for correct in range(17)]
    assert needs_second_half(halves, 32, share=1.0) == [False, *[True] * 15, False]


def test_groups_that_cannot_come_near_the_top_stop() -> None:
    halves = [FirstHalf(1, 32)] * 50 + [FirstHalf(16, 32)] * 50
    assert needs_second_half(halves, 64, share=0.1) == [False] * 50 + [True] * 50
    assert needs_second_half(halves, 64, share=0.9) == [True] * 100  # the hard ones are chosen too


@pytest.mark.parametrize("generations", [8, 16])
def test_the_report_expects_what_full_groups_show(generations: int) -> None:
    rng = np.random.default_rng(generations)
    count, size, half = 6000, 600, generations // 2
    p = rng.beta(0.8, 1.2, count)
    p[:1500], p[1500:2500] = 0.0, 1.0
    first, rest = rng.binomial(half, p), rng.binomial(generations - half, p)
    on = needs_second_half([FirstHalf(int(correct), half) for correct in first], generations, size / count)
    rows = [
        success_of(f"{i:05d}", generations, generations, int(first[i] + rest[i]))
        if on[i]
        else success_of(f"{i:05d}", half, half, int(first[i]))
        for i in range(count)
    ]
    outcomes = {row.id: Outcome(row.samples, row.scored, row.correct, 10 * row.samples, 0, 0) for row in rows}
    result = report(rows, outcomes, generations, size)
    stopped = ~np.array(on)
    assert result["stopped_early"] == stopped.sum() > count / 4
    assert result["tokens_saved"] == stopped.sum() * (generations - half) * 10
    full = (first + rest) / generations
    learnability = full * (1 - full)
    uniform = stopped & ((first == 0) | (first == half))
    assert result["stopped_uniform"] == uniform.sum()
    really = (learnability > 0)[uniform].sum()
    assert result["would_be_learnable"] == pytest.approx(really, abs=4 * np.sqrt(really))
    nth = sorted((row.learnability for row in rows), reverse=True)[size - 1]
    reached = (learnability >= nth)[stopped].sum()
    assert result["would_reach_top"] == pytest.approx(reached, abs=4 * np.sqrt(reached) + 3)


def test_nothing_stopped_saves_nothing() -> None:
    rows = [success_of("a", 8, 8, 3), success_of("b", 0, 0, 0)]
    result = report(rows, {"a": Outcome(8, 8, 3, 40, 0, 0)}, 8, 1)
    assert set(result.values()) == {0}
