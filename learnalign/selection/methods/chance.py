"""Seeded random numbers, and the random baseline."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from learnalign.randomness import hash_of
from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring


def uniforms(pool: Pool, seed: int, label: str) -> Float[np.ndarray, "n"]:
    """A number in (0, 1) for every prompt, from its id, `seed` and `label`; independent of the other prompts."""
    return np.array([(hash_of(seed, label, id) % 2**48 + 0.5) / 2**48 for id in pool.ids])


def random(pool: Pool, scoring: Scoring) -> Scores:
    """A seeded random order."""
    return Scores(score=uniforms(pool, scoring.seed, "random"))


METHODS = (Method(name="random", score=random, reads="pool"),)
