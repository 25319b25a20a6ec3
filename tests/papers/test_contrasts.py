"""Differences between arms: the interval, the p-value and Holm's adjustment against computations of their own."""

import itertools
import math
import statistics
from typing import Any

import numpy as np
import pytest

from learnalign.papers.contrasts import contrasts, holm, paired
from learnalign.papers.measures import Entry
from learnalign.papers.table import Table


def test_the_interval_is_that_of_every_possible_resample() -> None:
    """Four pairs have 4⁴ resamples: their means' 2.5 % and 97.5 % quantiles are what bootstrapping draws towards."""
    ours, theirs = np.array([3.0, 5.0, 9.0, 4.0]), np.array([2.0, 5.5, 4.0, 4.5])
    means = sorted(statistics.fmean(each) for each in itertools.product(ours - theirs, repeat=4))
    mean, low, high, _ = paired(ours, theirs)
    assert mean == pytest.approx(1.25)
    assert low == pytest.approx(np.quantile(means, 0.025), abs=0.15)
    assert high == pytest.approx(np.quantile(means, 0.975), abs=0.15)


def test_the_p_value_is_that_of_students_t_by_numeric_integration() -> None:
    differences = np.array([1.2, -0.3, 0.8, 2.0, 0.4])
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(5))
    density = math.gamma(2.5) / (math.sqrt(4 * math.pi) * math.gamma(2))
    x = np.linspace(abs(t), 2000, 4_000_001)
    tail = float(np.trapezoid(density * (1 + x**2 / 4) ** -2.5, x))
    assert paired(differences, np.zeros(5))[3] == pytest.approx(2 * tail, rel=1e-4)


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ps = [float(p) for p in rng.uniform(0, 0.1, size=rng.integers(1, 8))]
        rejected, order = set(), sorted(range(len(ps)), key=lambda k: ps[k])
        for rank, k in enumerate(order):  # smallest first, until one is not below α / (how many are left)
            if ps[k] > 0.05 / (len(ps) - rank):
                break
            rejected.add(k)
        assert {k for k, p in enumerate(holm(ps)) if p <= 0.05} == rejected


def test_arms_are_paired_by_seed_and_only_the_primary_contrast_is_not_adjusted() -> None:
    values = {
        "a": {0: 3.0, 1: 5.0, 2: 4.5, 7: 99.0},
        "b": {0: 2.0, 1: 4.5, 2: 3.0},
        "c": {0: 2.5, 1: 4.0, 2: 3.0, 8: 0.0},
    }
    made = contrasts(_table(primary="a", against="b"), [_entry(arm, own) for arm, own in values.items()])
    by_arm = {each.arm: each for each in made}
    assert by_arm.keys() == {"a", "c"}
    assert (by_arm["a"].seeds, by_arm["a"].difference, by_arm["a"].primary) == (3, pytest.approx(1.0), True)
    assert by_arm["a"].adjusted == by_arm["a"].p
    assert (by_arm["c"].seeds, by_arm["c"].difference, by_arm["c"].primary) == (3, pytest.approx(0.0), False)


def test_one_seed_has_no_interval() -> None:
    (made,) = contrasts(_table(primary="a", against="b"), [_entry("a", {0: 1.0}), _entry("b", {0: 3.0})])
    assert (made.difference, made.low, made.high, made.p) == (-2.0, None, None, None)


def test_differences_without_spread_have_no_p_value_and_rounding_is_none() -> None:
    ours = 100 * np.array([0.29, 0.57, 0.83])
    assert np.ptp(ours - 100 * np.array([0.28, 0.56, 0.82])) > 0
    assert paired(ours, 100 * np.array([0.28, 0.56, 0.82]))[3] is None
    assert paired(ours, ours)[1:] == (0, 0, 1.0)


def test_an_arm_with_one_cell_for_all_sizes_is_compared_once() -> None:
    arms: dict[str, Any] = {"a": {}, "b": {"method": "random"}, "rounds": {"rounds": [0.5]}, "all": {"size": "all"}}
    panel = {"config": "demo", "rows": 10, "parameters": 1}
    own = {"primary": "a", "against": "b", "size": 5}
    settings = {"title": "t", "panels": {"p": panel}, "arms": arms, "sizes": [5, 7], "tests": ["t"], "statistics": own}
    found = [_entry(arm, {0: 1.0, 1: 2.0}, size) for arm in arms for size in (5, 7)]
    made = contrasts(Table.model_validate(settings), found)
    assert [(each.arm, each.size) for each in made] == [("a", 5), ("a", 7), ("rounds", 5), ("all", 5)]


def _table(**statistics: Any) -> Table:
    panel = {"config": "demo", "rows": 10, "parameters": 1}
    arms: dict[str, Any] = {"a": {}, "b": {"method": "random"}, "c": {"method": "hardest"}}
    own = {"size": 5, **statistics}
    return Table.model_validate(
        {"title": "t", "panels": {"p": panel}, "arms": arms, "sizes": [5], "tests": ["t"], "statistics": own}
    )


def _entry(arm: str, values: dict[int, float], size: int = 5) -> Entry:
    more: dict[str, Any] = {"stds": {}, "published": None, "published_std": None}
    return Entry(panel="p", arm=arm, size=size, measure="accuracy", test="t", values=values, **more)
