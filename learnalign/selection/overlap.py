"""How alike two methods are: overlap of their choices, rank correlation of their scores."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def jaccard(one: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "n"]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def share(one: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "n"]) -> float:
    """|A ∩ B| / |A|: the share of `one` that is in `other`."""
    return float((one & other).sum() / max(1, one.sum()))


def spearman(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float | None:
    """Spearman's ρ over the prompts that both score, ties by their mean rank; None if one of them is constant."""
    from scipy.stats import spearmanr

    both = ~np.isnan(one) & ~np.isnan(other)
    one, other = one[both], other[both]
    if len(one) < 2 or (one == one[0]).all() or (other == other[0]).all():
        return None
    return float(spearmanr(one, other).statistic)
