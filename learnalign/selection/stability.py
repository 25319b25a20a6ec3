"""How stable the top N is when every success rate p is drawn from its posterior after a few rollouts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer

from learnalign.rollouts.uncertainty import PRIOR

if TYPE_CHECKING:
    from learnalign.selection.pool import Pool
    from learnalign.selection.ranking import Ranking

DRAWS = 200
TABLE = 4096  # draws of p from one posterior, from which every prompt with the same counts takes its own
SHARE = (1 << 16) // TABLE  # of the numbers of 16 bits, those that mean the same draw
NEARLY = 0.97  # of the last chosen score in the first draw: lower ones are looked at only if a later draw reaches down to them
STABLE = 0.8  # mean share that stays, from which on nothing need be done


@dataclass(frozen=True)
class Stability:
    """Of the chosen, `count_at_90` stay in at least 90 % of the `draws`; `overlap` is the share that stays on average."""

    draws: int
    count_at_90: int
    overlap: float

    def describe(self, chosen: int) -> str:
        """The sentence for the user; `chosen` counts those with a positive score."""
        words = (
            f"within the uncertainty of p, {100 * self.overlap:.0f} % of the {chosen} chosen stay on average ({self.count_at_90} of "
            f"them in at least 90 % of {self.draws} draws)"
        )
        if self.overlap >= STABLE:
            return words
        return f"{words}; the others are near the cut: for a surer choice, raise rollout.num_generations or select.size"


def measure_stability(pool: Pool, ranking: Ranking) -> tuple[Stability, Float[np.ndarray, "n"]] | tuple[None, None]:
    """The stability of a ranking's top N, and by prompt the share of draws that keep it (NaN if it was not chosen).

    None for other methods than learnalign on projected features, and for a choice by clusters.
    """
    expected = ranking.scores.expected
    if expected is None or ranking.clusters is not None:
        return None, None
    places = np.flatnonzero(~np.isnan(expected))
    correct, scored = pool.success.correct[places], pool.success.scored[places]
    every, kept = np.zeros(len(pool)), np.full(len(pool), np.nan)
    every[places] = resample(correct, scored, expected[places], ranking.size, seed=pool.run.config.seed)
    chosen = ranking.chosen[ranking.eligible[ranking.chosen]]
    shares = kept[chosen] = every[chosen]
    overlap = float(shares.mean()) if len(shares) else 0.0
    return Stability(DRAWS, int((shares >= 0.9).sum()), overlap), kept


def resample(
    correct: Integer[np.ndarray, " m"],
    scored: Integer[np.ndarray, " m"],
    alignment: Float[np.ndarray, " m"],
    size: int,
    draws: int = DRAWS,
    seed: int = 0,
) -> Float[np.ndarray, " m"]:
    """The share of draws in which each of m prompts is among the `size` best, of positive score.

    score_i = V_i a_i with V = p(1 − p) (Eq. 8). Each draw takes every p from its posterior, for all prompts with the same counts
    out of `TABLE` values; features are held fixed: a bootstrap of the rollouts would leave p = 0 and p = 1 certain. So are the
    alignments: they average over all prompts, and have the mean of V_j over the draws in place of V_j; those of one draw differ
    from that by the order of 1/√n. Prompts without a feature (p = 0 or 1) are chosen in no draw, so that the true uncertainty is a
    little larger.

    Args:
        correct, scored: rollouts of each prompt; at least one scored.
        alignment: a_i with the expected V_j.
        size: N, prompts to choose.
        draws: how often to draw.
        seed: seeds the draws.
    """
    rng = np.random.default_rng(seed)
    base = int(scored.max(initial=0)) + 1
    counts, kind = np.unique(correct.astype(np.int64) * base + scored, return_inverse=True)
    c, s = counts[:, None] // base, counts[:, None] % base
    p = rng.beta(c + PRIOR, s - c + PRIOR, (len(counts), TABLE))
    v = p * (1 - p)
    values, first = v.ravel(), kind.ravel() * TABLE
    most = v.max(axis=1, initial=0)[kind.ravel()] * alignment  # the best score that any draw can give
    everyone = likely = np.arange(len(alignment))
    least = -np.inf  # the others' scores are below it in every draw
    times = np.zeros(len(alignment))
    for drawn in itertools.islice(_drawn(rng, len(alignment)), draws):
        for some in (likely, everyone):
            best, last = _top(values[first[some] + drawn[some] // SHARE] * alignment[some], size)
            if last >= least:
                break
        times[some[best]] += 1
        if least == -np.inf and last > 0:
            least = NEARLY * last
            likely = np.flatnonzero(most >= least)
    return times / draws


def _drawn(rng: np.random.Generator, count: int) -> Iterator[Integer[np.ndarray, " count"]]:
    """One draw after another of `count` numbers of 16 bits; `// SHARE` makes those that `rng.integers(TABLE)` gives.

    A prompt that no draw looks at costs two bytes of it; two draws are made at once, since one may end within a word.
    """
    assert isinstance(rng.bit_generator, np.random.PCG64), "whose words begin with their lower half"
    halves = -(-count // 2)
    while True:
        words = rng.bit_generator.random_raw(halves).astype("<u8", copy=False)
        yield from words.view("<u2").reshape(2, 2 * halves)[:, :count]


def _top(scores: Float[np.ndarray, " m"], size: int) -> tuple[Integer[np.ndarray, " best"], float]:
    """The places of the `size` best of positive score, and the last one's score; −∞ if there are no more than `size` at all."""
    if size >= len(scores):
        return np.flatnonzero(scores > 0), -np.inf
    best = np.argpartition(-scores, size)[:size]
    return best[scores[best] > 0], float(scores[best].min())
