"""How much of the choice hangs on the luck of a handful of rollouts."""

from __future__ import annotations

import numpy as np
import torch

from learnalign.rollouts.uncertainty import StabilityResult, stability
from learnalign.selection.pool import Pool
from learnalign.selection.ranking import Ranking

ENTRIES = 1 << 31  # features are held in memory: 8 GB of float32 at most


def steadiness(pool: Pool, ranking: Ranking) -> StabilityResult | None:
    """The top N chosen again with every p drawn from its posterior; `chosen` are places of the pool.

    None for other methods than learnalign on projected features, for a choice by clusters, and for features above 8 GB.
    """
    if ranking.label != "learnalign" or ranking.scores.way not in ("matrix", "centroid"):
        return None
    if len(pool) * pool.run.config.grad.dim > ENTRIES:
        return None
    blocks = list(pool.gradients())
    places = np.concatenate([block.places for block in blocks])
    features = torch.cat([block.units for block in blocks]).numpy()
    success = pool.success
    found = stability(
        success.correct[places],
        success.scored[places],
        features,
        n=len(pool),
        size=ranking.size,
        seed=pool.run.config.seed,
    )
    return StabilityResult(
        chosen=places[found.chosen],
        kept=found.kept,
        draws=found.draws,
        count_at_90=found.count_at_90,
        overlap=found.overlap,
    )


def describe(found: StabilityResult) -> str:
    """The sentence for the user."""
    return (
        f"of {len(found.chosen)} chosen, {found.count_at_90} stay in 90 % of {found.draws} resamples of p; "
        f"{100 * found.overlap:.0f} % stay on average"
    )
