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


def _method(name: str, signal: str, score: Callable[[str], Callable[[Pool, Scoring], Scores]]) -> Method:
    return Method(name=name, score=score(signal), reads="signal", signal=signal)


METHODS = (
    _method("ppl-top", "perplexity", highest),
    _method("ppl-middle", "perplexity", nearest_median),
    _method("ifd", "ifd", highest),
    _method("length", "length", highest),
    _method("selectit", "selectit", highest),
    _method("limr", "limr", highest),
)
