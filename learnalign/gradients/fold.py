"""The fold: a random map from `size` coordinates to `width`, and the only random matrix of the two-sided projection.

Block j of `width` neighbouring coordinates gets random signs, is rotated by a random offset and added to the others. So every coordinate
lands in one bucket (a count sketch): ⟨Sx, Sy⟩ is unbiased, its variance at most (‖x‖²‖y‖² + ⟨x, y⟩²)/width and no larger for heavy-tailed
x, the matrix entries 0 and ±1 are exact in every dtype, and applying it costs `size` additions rather than size · width.
Letters: N rows, D coordinates, W width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.gradients.random import key_of, random_integers, random_signs

# ruff: noqa: F722, RUF100


class Fold:
    """A fold of vectors of `size` coordinates to at most `width`; the identity where nothing has to be folded."""

    def __init__(self, size: int, width: int, seed: int, *names: str) -> None:
        self.size = size
        self.width = min(size, width)
        self.identity = size <= width
        blocks = -(-size // self.width)
        self.signs = random_signs(key_of(seed, *names, "signs"), size)
        self.offsets: list[int] = random_integers(key_of(seed, *names, "offsets"), blocks, self.width).tolist()

    def matrix(self) -> Float[Tensor, "D W"]:
        """The map as a dense matrix S with x ↦ x S."""
        if self.identity:
            return torch.eye(self.size)
        coordinate = torch.arange(self.size)
        offset = torch.tensor(self.offsets)[coordinate // self.width]
        matrix = torch.zeros(self.size, self.width)
        matrix[coordinate, (coordinate + offset) % self.width] = self.signs
        return matrix


class Folder:
    """A fold on one device: a matrix product on a GPU, blockwise signed sums on a CPU; the same numbers up to rounding."""

    def __init__(self, fold: Fold, device: torch.device, dtype: torch.dtype) -> None:
        self.fold = fold
        self._matrix = fold.matrix().to(device, dtype) if device.type != "cpu" and not fold.identity else None
        self._signs = fold.signs.to(device, dtype)

    def __call__(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N W"]:
        """x S; in float32 at least where sums are taken one by one."""
        if self.fold.identity:
            return x
        if self._matrix is not None:
            return x @ self._matrix
        return self._fold_blocks(x)

    def _fold_blocks(self, x: Tensor) -> Tensor:
        width, size = self.fold.width, self.fold.size
        ring = x.new_zeros(len(x), 2 * width, dtype=torch.promote_types(x.dtype, torch.float32))
        signed = x if x.dtype == ring.dtype else x * self._signs
        for offset, start in zip(self.fold.offsets, range(0, size, width), strict=True):
            stop = min(start + width, size)
            target = ring[:, offset : offset + stop - start]
            if signed is x:
                target.addcmul_(x[:, start:stop], self._signs[start:stop])
            else:
                target.add_(signed[:, start:stop])
        return ring[:, :width].add_(ring[:, width:])


class Sketch:
    """The last step, a fold of a layer's projected gradient into the stored feature, always signed and rotated.

    All layers add into the same `dim` buckets, so a layer smaller than `dim` needs its signs and its offset as well.
    """

    def __init__(self, size: int, dim: int, seed: int, name: str, device: torch.device) -> None:
        self.size, self.dim = size, dim
        self._signs = random_signs(key_of(seed, name, "sketch signs"), size).to(device)
        blocks = -(-size // dim)
        self._offsets: list[int] = random_integers(key_of(seed, name, "sketch offsets"), blocks, dim).tolist()

    def add(self, values: Float[Tensor, "N D"], features: Float[Tensor, "N dim"]) -> None:
        """features += values folded to `dim`."""
        for offset, start in zip(self._offsets, range(0, self.size, self.dim), strict=True):
            middle = min(self.size, start + self.dim - offset)
            stop = min(self.size, start + self.dim)
            features[:, offset : offset + middle - start].addcmul_(values[:, start:middle], self._signs[start:middle])
            if stop > middle:
                features[:, : stop - middle].addcmul_(values[:, middle:stop], self._signs[middle:stop])
