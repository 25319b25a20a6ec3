"""The fold: a random map of `size` coordinates to `width` buckets, and the only random matrix of the two-sided projection.

Blocks of `width` neighbouring coordinates get random signs, are rotated by a random offset each, and added up. So every
coordinate lands in one bucket and any two of different blocks meet with probability 1/width (a count sketch): ⟨Sx, Sy⟩ is
unbiased with variance at most (‖x‖²‖y‖² + ⟨x, y⟩²)/width, less where few coordinates are heavy, as in language models. Entries
are 0 and ±1, exact in every dtype, and applying it costs `size` additions where a dense matrix costs size · width.
Letters: N rows, D coordinates, W buckets.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.gradients.random import key_of, random_integers, random_signs

# ruff: noqa: F722, F821, UP037, RUF100

CACHED_ENTRIES = 1 << 18  # of half precision that are widened at a time: as much as a CPU's cache holds


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
        parts = x.split(max(1, CACHED_ENTRIES // x.shape[1]))
        return torch.cat([self._sum(part.to(self._signs.dtype)).to(x.dtype) for part in parts])

    def _sum(self, x: Tensor) -> Tensor:
        """Every block is added where it begins after its rotation, and what stands beyond the end moves to the start."""
        assert self._fold is not None
        buckets = x.new_zeros(len(x), 2 * self.width)
        for offset, start in zip(self._fold.offsets, range(0, self._fold.size, self.width), strict=True):
            stop = min(start + self.width, self._fold.size)
            buckets[:, offset : offset + stop - start].addcmul_(x[:, start:stop], self._signs[start:stop])
        return buckets[:, : self.width].add_(buckets[:, self.width :])


class Sketch:
    """The last step: a layer's projected gradient is folded into the stored feature of `dim` entries.

    All layers add into the same buckets, so those smaller than `dim` get their signs and their offset as well.
    """

    def __init__(self, size: int, dim: int, seed: int, name: str, device: torch.device, dtype: torch.dtype) -> None:
        fold = Fold(size, dim, seed, name, "sketch")
        self._offsets, self._signs = fold.offsets, fold.signs.to(device, dtype)

    def add(self, values: Float[Tensor, "N D"], features: Float[Tensor, "N dim"]) -> None:
        """features += values S, block by block; each is cut where its rotation wraps around."""
        size, dim = values.shape[1], features.shape[1]
        for offset, start in zip(self._offsets, range(0, size, dim), strict=True):
            stop = min(start + dim, size)
            middle = min(start + dim - offset, stop)
            features[:, offset : offset + middle - start].addcmul_(values[:, start:middle], self._signs[start:middle])
            if stop > middle:
                features[:, : stop - middle].addcmul_(values[:, middle:stop], self._signs[middle:stop])
