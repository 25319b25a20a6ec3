"""The fold: a random map of `size` coordinates to `width` buckets, and the only random matrix of the two-sided projection.

Blocks of `width` neighbouring coordinates get random signs, are rotated by a random offset each, and added up. So every
coordinate lands in one bucket and any two of different blocks meet with probability 1/width (a count sketch): ⟨Sx, Sy⟩ is
unbiased with variance at most (‖x‖²‖y‖² + ⟨x, y⟩²)/width, less where few coordinates are heavy, as in language models. Entries
are 0 and ±1, exact in every dtype, and applying it costs `size` additions where a dense matrix costs size · width.
Letters: N rows, D coordinates, W buckets.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.gradients.random import key_of, random_integers, random_signs

# ruff: noqa: F722, F821, UP037, RUF100

CACHED_ROWS = 512  # rows of half precision that are widened at a time: they stay in a CPU's cache


class Fold:
    """A fold of `size` coordinates to `width`, fixed by a seed and names. Applied by `Folder` or added up by `Sketch`."""

    def __init__(self, size: int, width: int, seed: int, *names: str) -> None:
        self.size, self.width = size, width
        self.signs = random_signs(key_of(seed, *names, "signs"), size)
        blocks = -(-size // width)
        self.offsets: list[int] = random_integers(key_of(seed, *names, "offsets"), blocks, width).tolist()

    def matrix(self) -> Float[Tensor, "D W"]:
        """The map as a dense matrix S, x ↦ x S."""
        coordinates = torch.arange(self.size)
        offsets = torch.tensor(self.offsets)[coordinates // self.width]
        matrix = torch.zeros(self.size, self.width)
        matrix[coordinates, (coordinates + offsets) % self.width] = self.signs
        return matrix


class Folder:
    """One side's fold on one device; the identity where there is nothing to fold."""

    def __init__(self, size: int, width: int, seed: int, name: str, device: torch.device, dtype: torch.dtype) -> None:
        self.width = min(size, width)
        self._fold = None if size <= width else Fold(size, width, seed, name)
        if self._fold is not None:
            dense = self._fold.matrix().to(device, dtype) if device.type != "cpu" else None
            self._matrix = dense  # reading x once is all that a matrix product with a narrow matrix costs a GPU
            self._signs = self._fold.signs.to(device, torch.promote_types(dtype, torch.float32))

    def __call__(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N W"]:
        """x S, summed in float32 and returned in the dtype of x."""
        if self._fold is None:
            return x
        if self._matrix is not None:
            return x @ self._matrix
        if x.dtype == self._signs.dtype:
            return self._sum(x)
        return torch.cat([self._sum(part.to(self._signs.dtype)).to(x.dtype) for part in x.split(CACHED_ROWS)])

    def _sum(self, x: Tensor) -> Tensor:
        assert self._fold is not None
        buckets = x.new_zeros(len(x), self.width)
        add_folded(x, self._signs, self._fold.offsets, buckets)
        return buckets


class Sketch:
    """The last step: a layer's projected gradient is folded into the stored feature of `dim` entries.

    All layers add into the same buckets, so those smaller than `dim` get their signs and their offset as well.
    """

    def __init__(self, size: int, dim: int, seed: int, name: str, device: torch.device, dtype: torch.dtype) -> None:
        fold = Fold(size, dim, seed, name, "sketch")
        self._offsets, self._signs = fold.offsets, fold.signs.to(device, dtype)

    def add(self, values: Float[Tensor, "N D"], features: Float[Tensor, "N dim"]) -> None:
        """features += values S."""
        add_folded(values, self._signs, self._offsets, features)


def add_folded(
    values: Float[Tensor, "N D"], signs: Float[Tensor, "D"], offsets: Sequence[int], buckets: Float[Tensor, "N W"]
) -> None:
    """buckets += values S, block by block: each is cut where its rotation wraps around."""
    size, width = values.shape[1], buckets.shape[1]
    for offset, start in zip(offsets, range(0, size, width), strict=True):
        stop = min(start + width, size)
        middle = min(start + width - offset, stop)
        buckets[:, offset : offset + middle - start].addcmul_(values[:, start:middle], signs[start:middle])
        if stop > middle:
            buckets[:, : stop - middle].addcmul_(values[:, middle:stop], signs[middle:stop])
