"""The dense Rademacher projection of LESS: φ = Σ over parameters of vec(∇W) Γ with entries ±1/√dim.

Γ [parameters, dim] is made block by block from counters and never stored; the rows for a weight are named after the parameter. The
two-sided projection saves its cost, 2 · parameters · dim FLOPs a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.gradients.capture.sites import Site
from learnalign.randomness import key_of, splitmix64

BLOCK_ENTRIES = 1 << 25  # entries of Γ that exist at a time: 128 MB


class Dense:
    """A sink that adds every site's projected gradient to `features`; call `begin` before each batch."""

    def __init__(self, sites: Sequence[Site], *, dim: int, width: int, seed: int) -> None:
        """Takes Kronecker's arguments; only `dim` and `seed` matter."""
        self.dim, self.seed = dim, seed

    def begin(self, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        """Start a batch of `rows` rows with features of zero."""
        self.features: Float[Tensor, "B dim"] = torch.zeros(rows, self.dim, device=device, dtype=dtype)

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Saves the input unchanged."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Form each row's gradient and add its projection."""
        dtype = self.features.dtype
        gradient = torch.bmm(delta.to(dtype).transpose(1, 2), saved.to(dtype))
        self._add(f"{site.name}.weight", gradient.flatten(1))
        if site.has_bias:
            self._add(f"{site.name}.bias", delta.sum(1, dtype=dtype))

    def _add(self, name: str, gradient: Float[Tensor, "B D"]) -> None:
        key, size = key_of(self.seed, name, "dense"), gradient.shape[1]
        step = max(1, BLOCK_ENTRIES // self.dim)
        for start in range(0, size, step):
            part = gradient[:, start : start + step]
            signs = sign_rows(key, start, part.shape[1], self.dim, part.device).to(part.dtype)
            self.features.addmm_(part, signs, alpha=self.dim**-0.5)


def sign_rows(
    key: int, start: int, rows: int, columns: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "rows columns"]:
    """Rows start … start + rows − 1 of an endless ±1 matrix of `columns` columns, float32.

    Each 64-bit number gives 64 signs; only these rows are made.
    """
    words = -(-columns // 64)
    counter = torch.arange(start * words, (start + rows) * words, device=device)
    octets = splitmix64(key, counter).view(torch.uint8)
    signs = _octet_signs(octets.device)[octets.to(torch.int64)]
    return signs.view(rows, words * 64)[:, :columns]


def _octet_signs(device: torch.device) -> Float[Tensor, "256 8"]:
    """The eight signs that each of the 256 octets stands for."""
    octets = torch.arange(256, device=device)
    bits = (octets[:, None] >> torch.arange(8, device=device)) & 1
    return 1.0 - 2.0 * bits.float()


PROJECTION = Dense
