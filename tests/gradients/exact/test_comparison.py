"""`--verify K`: its figures about a projection are those of whole gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learnalign.errors import InputError
from learnalign.gradients import grad
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.exact import comparison
from learnalign.gradients.exact.comparison import compare_grams, exact_gram
from tests.gradients.pool import run_with_rollouts
from tests.gradients.tiny import block_parameters, brute_force, long_prompts, random_samples, tiny_model

MIXED = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]]


@pytest.mark.parametrize("fails_at", [None, 1, 8])  # out of memory in the middle of a batch
@pytest.mark.parametrize("samples", [random_samples(5, rollouts=2), long_prompts(3)], ids=["alone", "shared"])
@pytest.mark.parametrize("room", [1 << 30, 1])  # all layers at once, and one at a time
def test_exact_inner_products_are_those_of_whole_gradients(monkeypatch, room, samples, fails_at):
    monkeypatch.setattr(comparison, "free_memory", lambda device: room)
    on_gradient, calls = comparison._WholeGradients.on_gradient, []

    def limited(self, site, saved, delta):
        calls.append(site)
        if len(calls) == fails_at:
            raise torch.OutOfMemoryError("out of memory")
        on_gradient(self, site, saved, delta)

    monkeypatch.setattr(comparison._WholeGradients, "on_gradient", limited)
    policy = tiny_model()
    full = brute_force(policy, block_parameters(policy), samples)
    gram = exact_gram(GradientEngine(policy, GradientSettings(beta=0.0)), samples)
    torch.testing.assert_close(gram, full @ full.T, rtol=1e-5, atol=1e-8)


def test_a_perfect_projection_has_no_error():
    rows = np.random.default_rng(0).normal(size=(12, 50))
    result = compare_grams(7.0 * rows @ rows.T, rows @ rows.T, np.linspace(0.05, 0.25, 12))
    assert result.cosine_error == pytest.approx(0, abs=1e-12)
    assert result.cosine_error_max == pytest.approx(0, abs=1e-12)
    assert (result.alignment_spearman, result.score_spearman) == pytest.approx((1.0, 1.0))
    assert result.top_quarter_overlap == 1.0


def test_noise_shows_in_every_figure():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(40, 50))
    noisy = rows + generator.normal(size=rows.shape)
    result = compare_grams(noisy @ noisy.T, rows @ rows.T, generator.choice([0.1, 0.2, 0.25], 40))
    assert 0.05 < result.cosine_error < result.cosine_error_max
    assert result.alignment_spearman < 0.95
    assert result.score_spearman < 0.99
    assert result.top_quarter_overlap < 1.0


def test_the_figures_are_kept_in_run_json(tmp_path):
    run = run_with_rollouts(tmp_path, MIXED, grad={"width": 16})
    result = grad(run, verify=8)
    kept = run.read_record()["stages"]["grad"]["verification"]
    assert kept["prompts"] == 8
    assert kept["cosine_error"] == result.verification.cosine_error > 0
    assert kept["alignment_spearman"] > 0.5
    assert grad(run, verify=100).verification.prompts == 12  # not more than there are


def test_too_few_prompts_are_refused(tmp_path):
    run = run_with_rollouts(tmp_path, [MIXED[0], [0.0] * 4, [0.0] * 4, [0.0] * 4, [0.0] * 4, [0.0] * 4])
    with pytest.raises(InputError, match=r"at least 4 prompts with a gradient, the run has 2"):
        grad(run, verify=10)
    with pytest.raises(InputError, match=r"--verify 2: it compares at least 4"):
        grad(run, verify=2)
