"""The CPU's attention: torch's output, and gradients equal to those of float64 softmax written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from learnalign.gradients.capture import attention
from learnalign.gradients.capture.attention import CausalAttention, CpuAttention


def written_out(query, key, value, scale):
    """Softmax of all scores, in the dtype of the inputs."""
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
    scores = query @ key.transpose(-1, -2) * scale
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ value


@pytest.mark.parametrize(("length", "keys", "scale"), [(1, 2, None), (63, 6, None), (64, 2, 0.3), (200, 1, None)])
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.02), (torch.float16, 3e-3)]
)
def test_gradients_are_those_of_softmax_written_out(length, keys, scale, dtype, error):
    generator = torch.Generator().manual_seed(0)

    def random(heads):
        tensor = torch.randn(2, length, heads, 16, generator=generator).to(dtype).transpose(1, 2)
        return tensor.requires_grad_()

    inputs = [random(6), random(keys), random(keys)]
    delta = random(6).detach()
    with CpuAttention():
        output = scaled_dot_product_attention(*inputs, is_causal=True, scale=scale, enable_gqa=keys != 6)
    assert type(output.grad_fn).__name__ == "CausalAttentionBackward"
    exact_inputs = [one.detach().double().requires_grad_() for one in inputs]
    query, key, value = exact_inputs
    exact_output = written_out(query, key, value, 0.25 if scale is None else scale)
    exact = torch.autograd.grad(exact_output, exact_inputs, delta.double())
    gradients = torch.autograd.grad(output, inputs, delta)
    for one, other in zip((output, *gradients), (exact_output, *exact), strict=True):
        assert one.dtype == dtype
        assert (one.double() - other).norm() <= error * (other.norm() + delta.double().norm())


def test_other_calls_stay_torchs(monkeypatch):
    taken = []

    def apply(*inputs):
        taken.append(inputs)
        return inputs[0]

    monkeypatch.setattr(CausalAttention, "apply", apply)
    monkeypatch.setattr(attention, "LONGEST", 8)
    short, long = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 9, 4)
    with CpuAttention():
        scaled_dot_product_attention(short, short, short)
        scaled_dot_product_attention(short, short, short, torch.zeros(5, 5))
        scaled_dot_product_attention(short, short, short, None, 0.5, True)
        scaled_dot_product_attention(long, long, long, is_causal=True)
        scaled_dot_product_attention(short, long, long, is_causal=True)
        assert not taken
        scaled_dot_product_attention(short, short, short, is_causal=True)
        scaled_dot_product_attention(short, short, short, None, 0.0, True, scale=0.5)
        scaled_dot_product_attention(query=short, key=short, value=short, is_causal=True)
    assert [inputs[3] for inputs in taken] == [None, 0.5, None]
