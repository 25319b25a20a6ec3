"""Methods that rank by one signal: perplexity, IFD, length, SelectIT, LIMR (App. B.2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring


def highest(name: str) -> Callable[[Pool, Scoring], Scores]:
    """Highest value of signal `name` first."""

    def score(pool: Pool, scoring: Scoring) -> Scores:
        (values,) = pool.signal(name, "value")
        return Scores(score=values, signal=values)

    return score


def nearest_median(name: str) -> Callable[[Pool, Scoring], Scores]:
    """score_i = −|value_i − median|, the median over all prompts with a value."""

    def score(pool: Pool, scoring: Scoring) -> Scores:
        (values,) = pool.signal(name, "value")
        return Scores(score=-np.abs(values - np.nanmedian(values)), signal=values)

    return score


METHODS = (
    Method(name="ppl-top", about="highest perplexity (Eq. 9)", score=highest("perplexity"), reads="signal"),
    Method(
        name="ppl-middle", about="perplexity nearest the median", score=nearest_median("perplexity"), reads="signal"
    ),
    Method(name="ifd", about="highest instruction-following difficulty (Eq. 10)", score=highest("ifd"), reads="signal"),
    Method(name="length", about="most tokens of question and answer", score=highest("length"), reads="signal"),
    Method(name="selectit", about="highest SelectIT rating", score=highest("selectit"), reads="signal"),
    Method(
        name="limr",
        about="rewards that follow the average learning curve (LIMR)",
        score=highest("limr"),
        reads="signal",
    ),
)
