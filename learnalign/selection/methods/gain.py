"""GAIN-RL's methods: the highest angle concentration, and draws biased by it (§4.2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from learnalign.selection.methods.chance import uniforms
from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring
from learnalign.signals.concentration import combine


def angle_concentration(pool: Pool) -> Float[np.ndarray, "n"]:
    """C = C_intra + c·C_inter (GAIN-RL, Eq. 7 and App. F.1) with the config's `signal.angle_weight` c."""
    intra, inter = pool.signal("angle", "c_intra", "c_inter")
    return combine(intra, inter, pool.run.config.signal.angle_weight)


def gain(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = C_i, the angle concentration."""
    concentration = angle_concentration(pool)
    return Scores(score=concentration, signal=concentration)


def biased(slope: int) -> Callable[[Pool, Scoring], Scores]:
    """Draws without replacement, seeded, with probabilities linear in the angle concentration."""

    def score(pool: Pool, scoring: Scoring) -> Scores:
        concentration = angle_concentration(pool)
        return Scores(
            score=linear_draw(concentration, slope, uniforms(pool, scoring.seed, f"gain {slope}")), signal=concentration
        )

    return score


def linear_draw(
    concentration: Float[np.ndarray, "n"], slope: int, uniform: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Scores whose first N are N draws without replacement by weights linear in the concentration, NaN if it is NaN.

    Weights w rise from 0 at the lowest concentration to 1 at the highest (`slope` 1), fall (−1), or are the same (0).
    Successive draws are the order of arrivals E/w, with E = −log `uniform` exponential; the score is w/E.
    """
    low, high = np.nanmin(concentration), np.nanmax(concentration)
    height = (concentration - low) / (high - low) if high > low else np.ones_like(concentration)
    weights = {1: height, 0: np.ones_like(height), -1: 1.0 - height}[slope]
    return np.where(np.isnan(concentration), np.nan, weights / -np.log(uniform))


METHODS = (
    Method(name="gain", score=gain, reads="signal", signal="angle"),
    *(
        Method(name=f"gain-{bias}", score=biased(slope), reads="signal", signal="angle", positive=True)
        for bias, slope in (("high", 1), ("uniform", 0), ("low", -1))
    ),
)
