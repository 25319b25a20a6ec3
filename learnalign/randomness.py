"""Counter-based random numbers: the i-th number of a key is the same on every device, in every order, for every sharding."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64, the increment of splitmix64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def key_of(seed: int, *names: str) -> int:
    """A 63-bit key of a seed and names; different names give unrelated streams."""
    digest = hashlib.blake2b("\0".join([str(seed), *names]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def random_bits(key: int, start: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Numbers start … start + count − 1 of the stream `key`: int64 [count], all 64 bits random (splitmix64).

    Integer arithmetic alone, wrapping at 64 bits, so CPU and GPU agree bit for bit.
    """
    counter = torch.arange(start + 1, start + count + 1, dtype=torch.int64, device=device)
    bits = counter * _GOLDEN + key
    bits = (bits ^ _shift_right(bits, 30)) * _MIX_1
    bits = (bits ^ _shift_right(bits, 27)) * _MIX_2
    return bits ^ _shift_right(bits, 31)


def random_signs(key: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """±1 for counters 0 … count − 1: float32 [count]."""
    return torch.where(random_bits(key, 0, count, device) < 0, -1.0, 1.0)


def random_integers(key: int, count: int, below: int, device: torch.device | str = "cpu") -> Tensor:
    """Integers in 0 … below − 1 for counters 0 … count − 1: int64 [count]; the bias is below · 2⁻⁶³."""
    return _shift_right(random_bits(key, 0, count, device), 1) % below


def sign_rows(key: int, start: int, rows: int, columns: int, device: torch.device | str = "cpu") -> Tensor:
    """Rows start … start + rows − 1 of an endless ±1 matrix of `columns` columns: float32 [rows, columns].

    Each 64-bit number gives 64 signs; nothing but these rows is ever made.
    """
    words = -(-columns // 64)
    octets = random_bits(key, start * words, rows * words, device).view(torch.uint8)
    signs = _octet_signs(octets.device)[octets.to(torch.int64)]
    return signs.view(rows, words * 64)[:, :columns]


def _octet_signs(device: torch.device) -> Tensor:
    """The eight signs of each of the 256 octets: float32 [256, 8]."""
    octets = torch.arange(256, device=device)
    bits = (octets[:, None] >> torch.arange(8, device=device)) & 1
    return 1.0 - 2.0 * bits.float()


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """Logical shift: torch's own `>>` copies the sign bit."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
