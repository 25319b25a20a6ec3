"""Coverage of the pool's gradients: a method of this project, in neither paper."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from learnalign.errors import RunError, counted
from learnalign.policy import device
from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool, gathered
from learnalign.selection.scores import BLOCK_ENTRIES, Scoring

ENTRIES = 1 << 31  # the cosines are held in memory: 8 GB of float32 at most
SAME = 1 - 1e-5  # cosine from which on two gradients are the same, up to rounding


def coverage(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = f({1 … i}) − f({1 … i − 1}) in greedy order, where f(C) = 1/n Σ_j V_j max_{i∈C} max(0, cos(φ_i, φ_j)).

    Ours, not the papers': Eq. 8 adds up how well a prompt agrees with all others, so that its top N may all be of one kind; f
    asks how well each prompt's gradient is matched by the nearest of the chosen ones (facility location). f is monotone and
    submodular: the first N in this order cover at least 1 − 1/e of what the best N can (Nemhauser, Wolsey and Fisher, 1978),
    for every N. Score 0 have prompts with V = 0, and those whose gradient is that of one before; none, those without a gradient.

    Raises RunError if the cosines of all pairs would take more than 8 GB.
    """
    every, learnability = gathered(pool.gradients()), pool.success.learnability
    learnable = learnability[every.places] > 0
    places = every.places[learnable]
    if len(places) ** 2 > ENTRIES:
        raise RunError(
            f"method coverage holds the cosines of all pairs of {counted(len(places), 'prompt')} with a gradient in memory, "
            f"{4 * len(places) ** 2 / 1e9:,.0f} GB; at most {int(ENTRIES**0.5):,} prompts are possible: choose from a part of the "
            "pool (data.limit), or by another method"
        )
    units = every.units[torch.from_numpy(learnable)]
    units = torch.nn.functional.normalize(units)  # in float16, copies have a cosine a little below 1
    score = np.where(learnability > 0, np.nan, 0.0)
    score[places] = cover(units, learnability[places]) / len(pool)
    return Scores(score=score)


def cover(units: Float[torch.Tensor, "m D"], weights: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
    """What each row adds to Σ_j w_j max_{i chosen} max(0, ⟨u_i, u_j⟩) when the greedy choice comes to it, 0 for copies of earlier ones.

    Ties go to the lower row, up to the rounding of cosines in float32: of rows that add the same but for that, any may be first.
    The gains of all rows are kept, and change by the columns that a new row covers better than those before: few after the
    first, about m² ln m steps of arithmetic in all.
    """
    count, weight = len(units), torch.from_numpy(weights)
    rows = max(1, BLOCK_ENTRIES // max(1, count))
    units, cosines = units.to(device()), torch.empty(count, count)
    for start in range(0, count, rows):
        cosines[start : start + rows] = (units[start : start + rows] @ units.T).clamp_(min=0)
    covered = torch.zeros(count)
    gains = torch.cat([part.double() @ weight for part in cosines.split(rows)])
    result = np.zeros(count)
    for _ in range(count):
        best = int(gains.argmax())
        if gains[best] <= 0:
            break
        result[best] = gains[best]
        now = torch.maximum(covered, cosines[best])
        for better in (now > covered).nonzero().squeeze(1).split(rows):
            before = covered[better, None]
            more = torch.minimum(cosines[better], now[better, None]).sub_(before).clamp_(min=0)
            gains -= weight[better] @ more.double()
        covered = now
        gains[covered >= SAME] = 0.0
    return result


METHODS = (Method(name="coverage", score=coverage, reads="grad", learnable=True, positive=True),)
