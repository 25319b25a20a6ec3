"""How stable the top N is when every success rate p is drawn from its posterior after a few rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer

from learnalign.rollouts.uncertainty import PRIOR

if TYPE_CHECKING:
    from learnalign.selection.pool import Pool
    from learnalign.selection.ranking import Ranking

ENTRIES = 1 << 31  # features are held in memory: 8 GB of float32 at most
DRAWS = 200
STABLE = 0.8  # mean share that stays, from which on nothing need be done
DRAWS_AT_ONCE = 256


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

    None for other methods than learnalign on projected features, for a choice by clusters, and for features above 8 GB.
    """
    if ranking.label != "learnalign" or ranking.scores.way not in ("matrix", "centroid"):
        return None, None
    if len(pool) * pool.run.config.grad.dim > ENTRIES:
        return None, None
    blocks = list(pool.gradients())
    places = np.concatenate([block.places for block in blocks])
    features = np.concatenate([block.units.numpy() for block in blocks])
    correct, scored = pool.success.correct[places], pool.success.scored[places]
    chosen, shares = resample(correct, scored, features, len(pool), ranking.size, seed=pool.run.config.seed)
    kept = np.full(len(pool), np.nan)
    kept[places[chosen]] = shares
    overlap = float(shares.mean()) if len(shares) else 0.0
    return Stability(DRAWS, int((shares >= 0.9).sum()), overlap), kept


def resample(
    correct: Sequence[int] | np.ndarray,
    scored: Sequence[int] | np.ndarray,
    features: Float[np.ndarray, "rows dim"],
    n: int,
    size: int,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Integer[np.ndarray, " chosen"], Float[np.ndarray, " chosen"]]:
    """The rows of the top `size` by the point estimates, best first, and the share of draws that choose each again.

    score_i = V_i φ̂_i · (1/n Σ_j V_j φ̂_j) with V = p(1 − p) (Eq. 8). Each draw takes every p from its posterior and holds
    the features fixed: a bootstrap of the rollouts would leave p = 0 and p = 1 certain. Prompts without a feature (p = 0
    or 1) are chosen in no draw, so that the true uncertainty is a little larger.

    Args:
        correct, scored: rollouts of each row; at least one scored.
        features: unit rows φ̂ of the prompts that have one.
        n: prompts in the pool, the divisor of Eq. 8.
        size: N, prompts to choose; only positive scores are chosen. Ties go to the lower row.
        draws: how often to draw.
        seed: seeds the draws.
    """
    correct, scored = np.asarray(correct, float), np.asarray(scored, float)
    rates = np.divide(correct, scored, out=np.zeros_like(correct), where=scored > 0)
    chosen = _top(_scores(features, (rates * (1 - rates))[:, None], n)[:, 0], size)
    rng = np.random.default_rng(seed)
    times = np.zeros(len(correct))
    for start in range(0, draws, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, draws - start)
        p = rng.beta(correct[:, None] + PRIOR, (scored - correct)[:, None] + PRIOR, (len(correct), count))
        for scores in _scores(features, p * (1 - p), n).T:
            times[_top(scores, size)] += 1
    return chosen, times[chosen] / draws


def _scores(
    features: Float[np.ndarray, "rows dim"], learnability: Float[np.ndarray, "rows draws"], n: int
) -> Float[np.ndarray, "rows draws"]:
    """Eq. 8 for all draws at once: two matrix products."""
    weights = learnability.astype(features.dtype)
    centroids = features.T @ weights / n
    return learnability * (features @ centroids)


def _top(scores: Float[np.ndarray, " rows"], size: int) -> Integer[np.ndarray, " chosen"]:
    best = np.argsort(-scores, kind="stable")[:size]
    return best[scores[best] > 0]
