"""The counter-based generator: known values, independence of cutting, and the same bits on every device."""

from __future__ import annotations

import pytest
import torch

from learnalign.randomness import key_of, random_bits, random_integers, random_signs, sign_rows


def splitmix64(state: int) -> int:
    """The published generator (Steele, Lea, Flood 2014) in Python's integers."""
    mask = (1 << 64) - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_bits_are_splitmix64():
    key = key_of(3, "a name")
    expected = [splitmix64((key + i * 0x9E3779B97F4A7C15) & ((1 << 64) - 1)) for i in range(50)]
    assert [bits % (1 << 64) for bits in random_bits(key, 0, 50).tolist()] == expected


def test_a_part_of_the_stream_is_the_same_alone():
    assert torch.equal(random_bits(7, 13, 20), random_bits(7, 0, 40)[13:33])
    assert torch.equal(sign_rows(7, 5, 4, 100), sign_rows(7, 0, 20, 100)[5:9])


def test_names_and_seeds_give_unrelated_signs():
    streams = [random_signs(key_of(seed, name), 4096) for seed in (0, 1) for name in ("a", "b", "ab")]
    cosines = torch.corrcoef(torch.stack(streams)) - torch.eye(6)
    assert cosines.abs().max() < 0.08  # five standard deviations
    assert key_of(0, "a", "bc") != key_of(0, "ab", "c")


def test_integers_are_even():
    counts = torch.bincount(random_integers(5, 60_000, 6), minlength=6)
    assert (counts - 10_000).abs().max() < 500


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: the same bits on CPU and GPU")
def test_bits_are_the_same_on_a_gpu():
    assert torch.equal(random_bits(7, 11, 100_000), random_bits(7, 11, 100_000, "cuda").cpu())
    assert torch.equal(sign_rows(7, 3, 50, 300), sign_rows(7, 3, 50, 300, "cuda").cpu())
