"""Differences between arms, paired by seed: bootstrap intervals, p-values, and Holm's adjustment of all but the primary one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from learnalign.papers.measures import Entry
from learnalign.papers.table import Size, Table

RESAMPLES, SEED = 10_000, 0
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """`arm` − `against` in the paper's unit over the seeds that both have: mean, 95 % interval, p-value and p after Holm.

    The primary contrast is not adjusted. With one seed there is no interval. While cells are missing, the others are adjusted
    for those that can be computed so far, which is too little.
    """

    panel: str
    arm: str
    against: str
    size: Size
    primary: bool
    seeds: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None


def contrasts(table: Table, found: Sequence[Entry]) -> list[Contrast]:
    """The table's contrasts of the first measure's mean over tests; none without `statistics`."""
    own = table.statistics
    if own is None:
        return []
    values = _by_cell(table, found)
    first = own.panel or next(iter(table.panels))
    made = []
    for (panel, arm, size), mine in values.items():
        others = [own.against, *(own.also_against if arm == own.primary else [])]
        for against in others:
            theirs = values.get((panel, against, size))
            if arm == against or not theirs or not (common := sorted(mine.keys() & theirs.keys())):
                continue
            primary = (panel, arm, against, size) == (first, own.primary, own.against, own.size)
            pairs = np.array([[mine[seed], theirs[seed]] for seed in common])
            difference, low, high, p = paired(pairs[:, 0], pairs[:, 1])
            made.append(
                Contrast(
                    panel=panel,
                    arm=arm,
                    against=against,
                    size=size,
                    primary=primary,
                    seeds=len(common),
                    difference=difference,
                    low=low,
                    high=high,
                    p=p,
                    adjusted=p if primary else None,
                )
            )
    return _adjusted(made)


def _by_cell(table: Table, found: Sequence[Entry]) -> dict[tuple[str, str, Size], dict[int, float]]:
    """Of the first measure, the mean over tests by seed; an arm with one cell for all sizes counts at the size of the statistics alone."""
    cells: dict[tuple[str, str, Size], dict[int, list[float]]] = {}
    for entry in found:
        arm = table.arms[entry.arm]
        sized = arm.chooses and arm.size is None
        sized |= table.statistics is None or entry.size == table.statistics.size
        if entry.measure == table.measures[0] and sized:
            seeds = cells.setdefault((entry.panel, entry.arm, entry.size), {})
            for seed, value in entry.values.items():
                seeds.setdefault(seed, []).append(value)
    return {key: {seed: float(np.mean(each)) for seed, each in seeds.items()} for key, seeds in cells.items()}


def paired(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float | None, float | None, float | None]:
    """Mean of the differences, their 95 % percentile bootstrap interval, and the p-value of a two-sided paired t-test.

    Differences that are all the same have no spread to test them by: no p-value, or 1 if they are 0.
    """
    differences = ours - theirs
    mean = float(differences.mean())
    if len(differences) < 2:
        return mean, None, None, None
    if np.ptp(differences) < ROUNDING:
        return mean, mean, mean, 1.0 if abs(mean) < ROUNDING else None
    drawn = stats.bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(SEED)
    )
    interval = drawn.confidence_interval
    return mean, float(interval.low), float(interval.high), float(stats.ttest_1samp(differences, 0).pvalue)


def _adjusted(made: Sequence[Contrast]) -> list[Contrast]:
    """Holm's step-down adjustment of every contrast but the primary one."""
    family = [k for k, each in enumerate(made) if not each.primary and each.p is not None]
    adjusted = holm([made[k].p or 0.0 for k in family])
    by_place = dict(zip(family, adjusted, strict=True))
    return [replace(each, adjusted=by_place.get(k, each.adjusted)) for k, each in enumerate(made)]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    order = sorted(range(len(ps)), key=lambda k: ps[k])
    adjusted, most = [0.0] * len(ps), 0.0
    for rank, k in enumerate(order):
        most = max(most, min(1.0, (len(ps) - rank) * ps[k]))
        adjusted[k] = most
    return adjusted
