"""Random numbers and seeds that depend on their names alone: the same on every device, in every order, for every sharding.

splitmix64 is integer arithmetic that wraps at 64 bits, so NumPy and torch, CPU and GPU agree bit for bit.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Bits = TypeVar("Bits", "np.ndarray", "Tensor")

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64, the increment of splitmix64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def key_of(seed: int, *names: str) -> int:
    """A 63-bit key of a seed and names; different names give unrelated streams."""
    digest = hashlib.blake2b("\0".join([str(seed), *names]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def hash_of(*parts: object) -> int:
    """64 bits of the SHA-256 of `parts`, written one a line."""
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:8], "little")


def seed_of(seed: int, id: str, sample: int) -> int:
    """The seed, in [0, 2^63), of one sample of one prompt in a run seeded with `seed`."""
    return hash_of(seed, sample, id) >> 1


def splitmix64(key: Bits | int, counter: Bits) -> Bits:
    """Number `counter` (from 0) of the stream `key`: int64 arrays or tensors, all 64 bits random."""
    return mix((counter + 1) * _GOLDEN + key)


def mix(bits: Bits) -> Bits:
    """splitmix64's mixing step, a permutation of the int64 numbers."""
    bits = (bits ^ shift_right(bits, 30)) * _MIX_1
    bits = (bits ^ shift_right(bits, 27)) * _MIX_2
    return bits ^ shift_right(bits, 31)


def shift_right(bits: Bits, by: int) -> Bits:
    """Logical shift by at least 1: `>>` of signed integers copies the sign bit."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
