"""The counter-based generator: the published values, for NumPy and torch alike, and keys and seeds made of names."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from learnalign.randomness import hash_of, key_of, mix, seed_of, splitmix64

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def published(state: int) -> int:
    """splitmix64 (Steele, Lea, Flood 2014) in Python's integers."""
    z = (state + GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@pytest.mark.parametrize("arange", [np.arange, torch.arange])
def test_bits_are_splitmix64(arange):
    key = key_of(3, "a name")
    expected = [published((key + i * GOLDEN) & MASK) for i in range(13, 50)]
    assert [bits & MASK for bits in splitmix64(key, arange(13, 50)).tolist()] == expected
    assert [bits & MASK for bits in mix(arange(13, 50)).tolist()] == [published(i - GOLDEN) for i in range(13, 50)]


def test_every_counter_may_have_a_key_of_its_own():
    keys = np.array([5, -7, 2**62])
    alone = [int(splitmix64(key, np.array([3]))[0]) for key in keys.tolist()]
    assert splitmix64(keys, np.full(3, 3)).tolist() == alone


def test_different_names_give_different_keys():
    assert len({key_of(seed, *names) for seed in (0, 1) for names in (["a", "bc"], ["ab", "c"], ["abc"])}) == 6


def test_seeds_are_the_sha256_of_their_names():
    digest = hashlib.sha256(b"7\n3\na prompt").digest()
    assert hash_of(7, 3, "a prompt") == int.from_bytes(digest[:8], "little")
    assert seed_of(7, "a prompt", 3) == int.from_bytes(digest[:8], "little") >> 1
    assert hash_of(7, 3, "a prompt") % 2**48 == int.from_bytes(digest[:6], "little")


def test_neither_torch_nor_numpy_is_imported():
    code = "import sys, learnalign.randomness; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: the same bits on CPU and GPU")
def test_bits_are_the_same_on_a_gpu():
    counter = torch.arange(11, 100_011)
    assert torch.equal(splitmix64(7, counter), splitmix64(7, counter.cuda()).cpu())
