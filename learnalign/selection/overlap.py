"""How alike two methods are: overlap of what they choose, rank correlation of how they score."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def jaccard(one: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "n"]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def share(one: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "n"]) -> float:
    """|A ∩ B| / |A|: how much of `one` is in `other`."""
    return float((one & other).sum() / max(1, one.sum()))


def spearman(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float | None:
    """Spearman's ρ over the prompts that both score, ties by their mean rank; None where one of them is constant."""
    both = ~np.isnan(one) & ~np.isnan(other)
    if both.sum() < 2:
        return None
    ranks = [mean_ranks(scores[both]) for scores in (one, other)]
    centred = [rank - rank.mean() for rank in ranks]
    scale = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / scale) if scale else None


def mean_ranks(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
