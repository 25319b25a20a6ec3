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


def middle(name: str) -> Callable[[Pool, Scoring], Scores]:
    """score_i = −|rank_i − middle|: for every N, the first N are those in the middle of the order by value, ties by id.

    Prompts without a value have no rank. A middle a quarter below (n − 1)/2 puts the lower of two equally near ranks
    first: if n − N is odd, one prompt more is left out above than below.
    """

    def score(pool: Pool, scoring: Scoring) -> Scores:
        (values,) = pool.signal(name, "value")
        ranked = sorted(np.flatnonzero(~np.isnan(values)), key=lambda place: (values[place], pool.ids[place]))
        scores = np.full(len(pool), np.nan)
        scores[ranked] = -np.abs(np.arange(len(ranked)) - ((len(ranked) - 1) / 2 - 0.25))
        return Scores(score=scores, signal=values)

    return score


def nearest_median(name: str) -> Callable[[Pool, Scoring], Scores]:
    """score_i = −|value_i − median|, the median over all prompts with a value."""

    def score(pool: Pool, scoring: Scoring) -> Scores:
        (values,) = pool.signal(name, "value")
        return Scores(score=-np.abs(values - np.nanmedian(values)), signal=values)

    return score


def _method(
    name: str, signal: str, score: Callable[[str], Callable[[Pool, Scoring], Scores]], revision: int = 1
) -> Method:
    return Method(name=name, score=score(signal), reads="signal", signal=signal, revision=revision)


METHODS = (
    _method("ppl-top", "perplexity", highest),
    _method("ppl-middle", "perplexity", middle, revision=2),  # 1 was what is now ppl-median
    _method("ppl-median", "perplexity", nearest_median),
    _method("ifd", "ifd", highest),
    _method("length", "length", highest),
    _method("selectit", "selectit", highest),
    _method("limr", "limr", highest),
)
