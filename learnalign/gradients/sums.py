"""Weighted sums of unit rows, which are stored beside the rows: Eq. 8 needs them of all prompts before it needs any row itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float

from learnalign.rollouts.success import Success
from learnalign.rollouts.uncertainty import row_weights

CACHE_ENTRIES = 1 << 18  # 2 MB of float64
WEIGHTS, SUMS = "weights", "sums"  # tensors of gradients/part-*.safetensors


def sums_of(units: Float[torch.Tensor, "rows D"], success: Sequence[Success]) -> dict[str, torch.Tensor]:
    """The weights of these rows, V and its mean over the posterior of p, [2, rows], and their weighted sums, [2, D], in float64."""
    learnability = np.array([row.learnability for row in success])
    correct = np.array([row.correct for row in success], np.int64)
    scored = np.array([row.scored for row in success], np.int64)
    weights = torch.from_numpy(row_weights(learnability, correct, scored))
    return {WEIGHTS: weights, SUMS: weighted_sums(units, weights)}


def weighted_sums(
    units: Float[torch.Tensor, "rows D"], weights: Float[torch.Tensor, "k rows"]
) -> Float[torch.Tensor, "k D"]:
    """Σ_j w_j û_j in float64, by each of the k weights."""
    sums = torch.zeros(len(weights), units.shape[1], dtype=torch.float64)
    for rows, part in in_float64(units):
        sums.addmm_(weights[:, part], rows)
    return sums


def in_float64(units: Float[torch.Tensor, "rows D"]) -> Iterator[tuple[Float[torch.Tensor, "part D"], slice]]:
    """A few rows at a time, about what stays in a processor's cache, overwritten by the next; and which they are.

    By way of float32: a processor converts float16 to that at once, but not to float64.
    """
    count, width = units.shape
    size = max(1, CACHE_ENTRIES // max(1, width))
    double = torch.empty(min(size, count), width, dtype=torch.float64)
    single = torch.empty_like(double, dtype=torch.float32)
    for start in range(0, count, size):
        part = slice(start, start + size)
        rows = units[part]
        if rows.dtype == torch.float16:
            rows = single[: len(rows)].copy_(rows)
        yield double[: len(rows)].copy_(rows), part
