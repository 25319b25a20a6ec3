"""Seeded random numbers, and the random baseline."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Float

from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring


def uniforms(pool: Pool, label: str) -> Float[np.ndarray, "n"]:
    """A number in (0, 1) for every prompt, from its id, the run's seed and `label`; independent of the other prompts."""
    seed = pool.run.config.seed
    digests = (hashlib.sha256(f"{seed}\n{label}\n{id}".encode()).digest() for id in pool.ids)
    return np.array([(int.from_bytes(digest[:6], "little") + 0.5) / 2**48 for digest in digests])


def random(pool: Pool, scoring: Scoring) -> Scores:
    """A seeded random order."""
    return Scores(score=uniforms(pool, "random"))


METHODS = (Method(name="random", score=random, reads="pool"),)
