"""The dense Rademacher projection of LESS: φ = Σ over parameters of vec(∇W) Γ with entries ±1/√dim.

Γ [parameters, dim] is made block by block from counters and never stored; the rows for a weight are named after the parameter. The
two-sided projection saves its cost, 2 · parameters · dim FLOPs a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.gradients.capture.sites import Embedding, Site, Sites
from learnalign.gradients.projections.totals import Totals
from learnalign.randomness import key_of, splitmix64

BLOCK_ENTRIES = 1 << 25  # entries of Γ that exist at a time: 128 MB


class Dense:
    """A sink that adds every site's projected gradient to `features`; call `begin` before each batch."""

    def __init__(self, sites: Sites, *, dim: int, width: int, seed: int) -> None:
        """Takes Kronecker's arguments; only `dim` and `seed` matter."""
        self.dim, self.seed = dim, seed

    def begin(self, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        """Start a batch of `rows` rows with features of zero."""
        self._totals = Totals(rows, self.dim, device, dtype)

    @property
    def features(self) -> Float[Tensor, "B dim"]:
        """The batch's features, on the device given to `begin`."""
        return self._totals.gathered()

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Saves the input unchanged."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Form each row's gradient and add its projection."""
        dtype = self._totals.dtype
        gradient = torch.bmm(delta.to(dtype).transpose(1, 2), saved.to(dtype)).flatten(1)
        self._add(f"{site.name}.weight", gradient)
        if site.has_bias:
            self._add(f"{site.name}.bias", delta.sum(1, dtype=dtype))

    def on_vector(self, name: str, gradient: Float[Tensor, "B P"]) -> None:
        """Add a norm's gradient, projected."""
        self._add(name, gradient.to(self._totals.dtype))

    def on_lookup(self, site: Embedding, indices: Int[Tensor, "B T"], delta: Float[Tensor, "B T D"]) -> None:
        """Add the projection of an embedding's gradient, made of the rows of Γ of the batch's tokens alone."""
        width = delta.shape[-1]
        for token in indices.unique().tolist():
            gradient = (delta * (indices == token).unsqueeze(-1)).sum(1, dtype=self._totals.dtype)
            self._add(f"{site.name}.weight", gradient, token * width)

    def on_tokens(
        self,
        site: Site,
        x: Float[Tensor, "N I"],
        delta: Float[Tensor, "N O"],
        parts: Sequence[tuple[int, slice]],
    ) -> None:
        """Add the projection of the head's gradient of these tokens, some rows of the weight at a time."""
        dtype, (outputs, inputs) = self._totals.dtype, site.sizes
        x, delta, rows = x.to(dtype), delta.to(dtype), [row for row, _ in parts]
        step = max(1, BLOCK_ENTRIES // self.dim // inputs)
        for start in range(0, outputs, step):
            gradients = [delta[part, start : start + step].T @ x[part] for _, part in parts]
            self._add(f"{site.name}.weight", torch.stack(gradients).flatten(1), start * inputs, rows)
        if site.has_bias:
            self._add(f"{site.name}.bias", torch.stack([delta[part].sum(0) for _, part in parts]), 0, rows)

    def _add(
        self, name: str, gradient: Float[Tensor, "R P"], first: int = 0, rows: Sequence[int] | None = None
    ) -> None:
        """Add the projection of a parameter's entries from `first` on, to the given rows (default: all)."""
        key, step = key_of(self.seed, name, "dense"), max(1, BLOCK_ENTRIES // self.dim)
        projected = torch.zeros(len(gradient), self.dim, device=gradient.device, dtype=gradient.dtype)
        for start in range(0, gradient.shape[1], step):
            part = gradient[:, start : start + step]
            signs = sign_rows(key, first + start, part.shape[1], self.dim, part.device).to(part.dtype)
            projected.addmm_(part, signs, alpha=self.dim**-0.5)
        self._totals.on(projected.device)[slice(None) if rows is None else rows] += projected


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
