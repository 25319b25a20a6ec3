"""A method: its name, what it reads, and a function from the pool to scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from learnalign.config import Config
from learnalign.selection.nystrom import Error
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One number per prompt (higher is better, NaN for none) and the numbers it was made of.

    `expected` is the alignment with every V_j replaced by its mean over the posterior of p_j; `error` is that of
    a saved S by landmarks.
    """

    score: Float[np.ndarray, "n"]
    alignment: Float[np.ndarray, "n"] | None = None
    expected: Float[np.ndarray, "n"] | None = None
    norm: Float[np.ndarray, "n"] | None = None
    signal: Float[np.ndarray, "n"] | None = None
    way: Literal["matrix", "centroid", "exact"] | None = None
    error: Error | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A ranking of the pool.

    `reads` is the last stage whose results it uses, `signal` the signal; `learnable`: it uses V; `positive`: only
    scores above zero are chosen; `similarity`: the scores are row means of a matrix of cosines. `revision` is raised when
    a new version of the code computes other scores from the same inputs: `compare` must not take the old ones.
    """

    name: str
    score: Callable[[Pool, Scoring], Scores]
    reads: Literal["pool", "rollout", "grad", "signal"]
    learnable: bool = False
    positive: bool = False
    similarity: bool = False
    signal: str | None = None
    revision: int = 1

    def eligible(self, score: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Which prompts can be chosen by these scores."""
        return score > 0 if self.positive else ~np.isnan(score)

    def fingerprint(self, pool: Pool, seed: int) -> str:
        """A digest of everything that the scores depend on; `seed` is that of the draws, or else the run's."""
        run, uses_success = pool.run, self.learnable or self.reads in ("rollout", "grad")
        parts = [
            pool.fingerprint(self.reads),
            seed,
            pool.signal_fingerprint(self.signal) if self.signal else None,
            run.config.signal.angle_weight if self.signal == "angle" else None,
            pool.success_digest if uses_success else None,
            *([self.revision] if self.revision > 1 else []),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def eligibility(self) -> str:
        """What a prompt needs to be chosen, in words."""
        return "a positive score" if self.positive else "a value"

    def has_matrix(self, config: Config) -> bool:
        """Whether the scores are row means of a matrix that can be saved."""
        return self.similarity and not (self.reads == "grad" and config.grad.projection == "exact")
