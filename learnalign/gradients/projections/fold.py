"""The fold: a random map of `size` coordinates to `width` buckets, and the only random matrix of the two-sided projection.

Coordinate i is given a random sign and added into bucket i mod width: a count sketch whose hash is fixed and whose signs are random.
⟨Sx, Sy⟩ is unbiased for all x and y. Its variance is that of a count sketch, at most (‖x‖²‖y‖² + ⟨x, y⟩²)/width, unless coordinates
`width` apart are large together more often than any two. So avoid widths that are multiples of 64: they add up the same places of
different attention heads (Spearman of alignment against exact 0.993 at 192, 0.994 at the default of 160). The entries of S are 0 and
±1, exact in every dtype, and applying S costs `size` additions; a dense matrix would cost size · width.
Letters: N rows, D coordinates, W buckets.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from learnalign.randomness import key_of, shift_right, splitmix64


class Folder:
    """One side's fold on one device, fixed by a seed and a name; the identity if `size` does not exceed `width`."""

    def __init__(self, size: int, width: int, seed: int, name: str, device: torch.device, dtype: torch.dtype) -> None:
        self.size, self.width = size, min(size, width)
        self.identity = size <= width
        self._signs = random_signs(key_of(seed, name, "signs"), size).to(device, dtype)
        self._matrix = self.matrix() if device.type != "cpu" and not self.identity else None
        whole = self._signs[: size - size % self.width].view(-1, self.width).T
        self._taps = whole[:, None, :, None].contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N W"]:
        """x S, summed in float32 at least and returned in the dtype of x."""
        if self.identity:
            return x
        if self._matrix is not None:
            return x @ self._matrix  # a narrow product costs a GPU no more than reading x
        return self._convolve(x) if x.dtype.itemsize < 4 else self._add(x)

    def matrix(self) -> Float[Tensor, "D W"]:
        """The map as a dense matrix S."""
        return self.rows(torch.arange(self.size, device=self._signs.device))

    def rows(self, coordinates: Int[Tensor, "N"]) -> Float[Tensor, "N W"]:
        """Rows of S: the folds of vectors that are 1 at one coordinate."""
        values = torch.ones_like(self._signs[coordinates]) if self.identity else self._signs[coordinates]
        rows = values.new_zeros(len(coordinates), self.width)
        return rows.scatter_(1, (coordinates % self.width).unsqueeze(1), values.unsqueeze(1))

    def _add(self, x: Tensor) -> Tensor:
        """Block by block: the fastest on a CPU for dtypes that need no wider sum."""
        folded = x.new_zeros(len(x), self.width)
        for block, signs in zip(x.split(self.width, dim=1), self._signs.split(self.width), strict=True):
            folded[:, : len(signs)].addcmul_(block, signs)
        return folded

    def _convolve(self, x: Tensor) -> Tensor:
        """Blocks as the taps of a depthwise convolution, which sums half precision in float32 in one pass."""
        tail = self.size % self.width
        whole = x[:, : self.size - tail].contiguous().view(len(x), -1, self.width, 1)
        folded = nn.functional.conv2d(whole.permute(0, 2, 1, 3), self._taps, groups=self.width).view(len(x), -1)
        if tail:
            folded[:, :tail].addcmul_(x[:, -tail:], self._signs[-tail:])
        return folded


class Sketch:
    """The last step: a layer's projected gradient, signed and rotated, is added into the stored feature of `dim` entries.

    All layers share the buckets; an offset by the layer's name keeps small layers from all using the first ones. The number of
    buckets used has no divisor in common with the length of a row of the gradient, so the entries of a column, which are large
    together if the neuron is active, go to different buckets as long as there are enough.
    """

    def __init__(
        self, rows: int, columns: int, dim: int, seed: int, name: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.signs = random_signs(key_of(seed, name, "sketch signs"), rows * columns).to(device, dtype)
        self.buckets = next(count for count in range(dim, 0, -1) if math.gcd(count, columns) == 1)
        self.offset = int(random_integers(key_of(seed, name, "sketch offset"), 1, self.buckets))

    def add(self, values: Float[Tensor, "N D"], features: Float[Tensor, "N dim"]) -> None:
        """features += values S: coordinate i goes to bucket (i + offset) mod buckets."""
        size = values.shape[1]
        start = 0
        while start < size:
            bucket = (start + self.offset) % self.buckets
            stop = min(size, start + self.buckets - bucket)
            part = features[:, bucket : bucket + stop - start]
            part.addcmul_(values[:, start:stop], self.signs[start:stop])
            start = stop


def random_signs(key: int, count: int) -> Float[Tensor, "N"]:
    """±1 for counters 0 … count − 1, float32."""
    return torch.where(splitmix64(key, torch.arange(count)) < 0, -1.0, 1.0)


def random_integers(key: int, count: int, below: int) -> Int[Tensor, "N"]:
    """Integers in 0 … below − 1 for counters 0 … count − 1; the bias is below · 2⁻⁶³."""
    return shift_right(splitmix64(key, torch.arange(count)), 1) % below
