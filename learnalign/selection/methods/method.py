"""What a method is: a name, what it reads, and a function from the pool to scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from learnalign.config import Config
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring

# ruff: noqa: F722, F821, UP037, RUF100


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One number a prompt, higher is better, NaN where there is none; and what it was made of."""

    score: Float[np.ndarray, "n"]
    alignment: Float[np.ndarray, "n"] | None = None
    norm: Float[np.ndarray, "n"] | None = None
    signal: Float[np.ndarray, "n"] | None = None
    way: Literal["matrix", "centroid", "exact"] | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A ranking of the pool.

    `reads` is the last stage whose results it uses; `learnable` says that V = p(1 − p) is among them; with `positive`
    only scores above zero are chosen; with `similarity` they are row means of a matrix of weighted cosines.
    """

    name: str
    about: str
    score: Callable[[Pool, Scoring], Scores]
    reads: Literal["pool", "rollout", "grad", "signal"]
    learnable: bool = False
    positive: bool = False
    similarity: bool = False

    @property
    def eligibility(self) -> str:
        """What a prompt needs to be chosen, in words."""
        return "a positive score" if self.positive else "a value"

    def has_matrix(self, config: Config) -> bool:
        """Whether the scores are row means of a matrix that could be written down."""
        return self.similarity and not (self.reads == "grad" and config.grad.projection == "exact")
