"""What a handful of rollouts leaves open about the success rate p, and how much of the top N hangs on it.

Jeffreys' prior Beta(1/2, 1/2): p = 0 and p = 1 of a finite group stay uncertain, and the posterior after `correct` of
`scored` rollouts is Beta(correct + 1/2, scored − correct + 1/2).
"""

from __future__ import annotations

import numpy as np

PRIOR = 0.5
_GRID = 4096


def credible_interval(correct: int, scored: int, mass: float = 0.9) -> tuple[float, float]:
    """The central interval of p that holds `mass` of the posterior after `correct` of `scored` rollouts.

    With p = sin²θ, Jeffreys' posterior has the density sin^{2c}θ · cos^{2(s−c)}θ in θ, smooth on [0, π/2]: its
    quantiles are read off a cumulative sum over a grid (error below 1e-6).
    """
    angles = np.linspace(0.0, np.pi / 2, _GRID + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = 2 * correct * np.log(np.sin(angles)) if correct else np.zeros_like(angles)
        misses = 2 * (scored - correct) * np.log(np.cos(angles)) if scored > correct else np.zeros_like(angles)
    density = np.exp(hits + misses - np.max(hits + misses))
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    tails = np.array([(1 - mass) / 2, (1 + mass) / 2])
    low, high = np.sin(np.interp(tails, cumulative / cumulative[-1], angles)) ** 2
    return float(low), float(high)
