"""The next token of every row from its own seed, independent of the other rows in the batch.

Randomness is counter-based: the uniform number of a row at a step is a hash of (seed, step); it picks the token by the
row's cumulative distribution. A row's tokens depend only on its logits and its seed, up to the rounding of the logits,
which changes with the batch.

B rows, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.randomness import mix, shift_right, splitmix64

NONE = -1


def uniforms(seeds: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) for rows with `seeds` (uint64) at `steps`: SplitMix64 of each seed, advanced by its step."""
    bits = splitmix64(mix(seeds.astype(np.uint64).view(np.int64)), steps.astype(np.int64))
    return shift_right(bits, 11).astype(np.float64) * 2.0**-53


def choose(logits: Float[Tensor, "B V"], numbers: np.ndarray, temperature: float, top_p: float) -> Int[Tensor, " B"]:
    """The token of every row at its number in [0, 1) of the cumulative softmax(logits / temperature), cut to `top_p`.

    A temperature of 0 takes the largest logit. The token of a row whose logits are NaN or infinite is `NONE`.
    """
    if temperature == 0:
        largest = logits.max(dim=-1)
        return largest.indices.where(largest.values.isfinite(), NONE)
    scaled = logits if temperature == 1 else logits.float() / temperature
    probabilities = torch.softmax(scaled, dim=-1, dtype=torch.float32)
    if top_p < 1:
        probabilities, order = probabilities.sort(dim=-1, descending=True, stable=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        beyond = before >= top_p
        beyond[:, 0] = False  # a top_p that float32 takes for 0 leaves the most probable token
        probabilities = probabilities.masked_fill(beyond, 0.0)
    cumulative = probabilities.cumsum(dim=-1)
    total = cumulative[:, -1:]
    wanted = torch.from_numpy(numbers).to(total).unsqueeze(1) * total
    wanted = torch.minimum(wanted, torch.nextafter(total, torch.zeros_like(total)))
    token = torch.searchsorted(cumulative, wanted, right=True).clamp_max(logits.shape[1] - 1)
    token = order.gather(1, token) if top_p < 1 else token
    return token.where(total.isfinite(), NONE).squeeze(1)
