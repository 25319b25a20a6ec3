"""The engine against plain autograd, and its independence of how work is cut up."""

from __future__ import annotations

import pytest
import torch

from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample
from tests.gradients.tiny import block_parameters, brute_force, random_samples, tiny_model

FULL = 1 << 20  # with a dim far above the entries of a tiny model's sketches, collisions are few


def gram(rows: torch.Tensor) -> torch.Tensor:
    return rows.double() @ rows.double().T


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize(("beta", "temperature", "rollouts"), [(0.0, 1.0, 1), (0.3, 0.7, 3)])
def test_unprojected_inner_products_are_those_of_full_gradients(kind, beta, temperature, rollouts):
    policy = tiny_model(kind)
    reference = tiny_model(kind, seed=1) if beta else None
    samples = random_samples(5, rollouts)
    settings = GradientSettings(dim=FULL, width=512, beta=beta, temperature=temperature)
    found = GradientEngine(policy, settings, reference).features(samples)
    exact = brute_force(policy, block_parameters(policy), samples, reference, beta=beta, temperature=temperature)
    error = (gram(found) - gram(exact)).abs().max() / gram(exact).abs().max()
    assert error < 0.02
