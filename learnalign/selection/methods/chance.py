"""Seeded draws: the random baseline, and GAIN-RL's biased sampling (§4.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring
from learnalign.signals.concentration import combine


def uniforms(pool: Pool, label: str) -> Float[np.ndarray, "n"]:
    """A number in (0, 1) for every prompt, made of its id, the run's seed and `label`, whatever pool it stands in."""
    seed = pool.run.config.seed
    digests = (hashlib.sha256(f"{seed}\n{label}\n{id}".encode()).digest() for id in pool.ids)
    return np.array([(int.from_bytes(digest[:6], "little") + 0.5) / 2**48 for digest in digests])


def random(pool: Pool, scoring: Scoring) -> Scores:
    """Seeded order."""
    return Scores(score=uniforms(pool, "random"))


def angle_concentration(pool: Pool) -> Float[np.ndarray, "n"]:
    """C = C_intra + c·C_inter (GAIN-RL, Eq. 7 and App. F.1) with the present `signal.angle_weight` c."""
    intra, inter = pool.signal("angle", "c_intra", "c_inter")
    return combine(intra, inter, pool.run.config.signal.angle_weight)


def gain(pool: Pool, scoring: Scoring) -> Scores:
    """Highest angle concentration."""
    concentration = angle_concentration(pool)
    return Scores(score=concentration, signal=concentration)


def biased(slope: int) -> Callable[[Pool, Scoring], Scores]:
    """A seeded draw without replacement, probabilities linear in the angle concentration."""

    def score(pool: Pool, scoring: Scoring) -> Scores:
        concentration = angle_concentration(pool)
        return Scores(score=linear_draw(concentration, slope, uniforms(pool, f"gain {slope}")), signal=concentration)

    return score


def linear_draw(
    concentration: Float[np.ndarray, "n"], slope: int, uniform: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Scores whose first N are N draws without replacement by weights linear in the concentration, NaN where it is NaN.

    Weights w rise from 0 at the lowest concentration to 1 at the highest (`slope` 1), fall (−1), or are the same (0).
    Successive draws come in the order of their arrivals E/w, with E = −log `uniform` exponential; the score is w/E.
    """
    low, high = np.nanmin(concentration), np.nanmax(concentration)
    height = (concentration - low) / (high - low) if high > low else np.ones_like(concentration)
    weights = {1: height, 0: np.ones_like(height), -1: 1.0 - height}[slope]
    return np.where(np.isnan(concentration), np.nan, weights / -np.log(uniform))


METHODS = (
    Method(name="random", about="seeded random order", score=random, reads="pool"),
    Method(name="gain", about="highest angle concentration (GAIN-RL)", score=gain, reads="signal", signal="angle"),
    *(
        Method(
            name=f"gain-{bias}",
            about=f"drawn with probability {words} (GAIN-RL §4.2)",
            score=biased(slope),
            reads="signal",
            signal="angle",
            positive=True,
        )
        for bias, slope, words in (
            ("high", 1, "rising with angle concentration"),
            ("uniform", 0, "the same for all"),
            ("low", -1, "falling with angle concentration"),
        )
    ),
)
