"""`--verify K`: its figures about a projection are those of whole gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learnalign.errors import InputError
from learnalign.gradients import grad
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.exact import comparison, whole
from learnalign.gradients.exact.comparison import compare_grams
from learnalign.gradients.exact.whole import WholeGradients, exact_grams
from tests.gradients.pool import run_with_rollouts
from tests.gradients.tiny import brute_force, every_parameter, long_prompts, random_samples, tiny_model

MIXED = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "fails_at", [pytest.param(None, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow), 8]
)  # out of memory in the middle of a batch
@pytest.mark.parametrize("samples", [random_samples(5, rollouts=2), long_prompts(3)], ids=["alone", "shared"])
@pytest.mark.parametrize(
    "room", [pytest.param(1 << 30, marks=pytest.mark.slow), 600_000]
)  # all parameters at once, and parts that cut large ones
def test_exact_inner_products_are_those_of_whole_gradients(monkeypatch, room, samples, fails_at):
    monkeypatch.setattr(whole, "free_memory", lambda device: room)
    on_gradient, calls = WholeGradients.on_gradient, []

    def limited(self, site, saved, delta):
        calls.append(site)
        if len(calls) == fails_at:
            raise torch.OutOfMemoryError("out of memory")
        on_gradient(self, site, saved, delta)

    monkeypatch.setattr(WholeGradients, "on_gradient", limited)
    policy = tiny_model()
    grams = exact_grams(GradientEngine(policy, GradientSettings(beta=0.0)), samples)
    assert sorted(grams) == sorted(every_parameter(policy))
    for name, gram in grams.items():
        full = brute_force(policy, [name], samples)
        assert (gram - full @ full.T).abs().max() < 1e-6 * (full @ full.T).max()  # the models' norms compute in float32


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
    assert kept["modules"] == "all"
    assert kept["features"]["cosine_error"] == result.verification.features.cosine_error > 0
    assert kept["features"]["alignment_spearman"] > 0
    assert kept["features"] == kept["projection_alone"]
    assert kept["without_projection"]["cosine_error_max"] == pytest.approx(0, abs=1e-12)
    assert grad(run, verify=100).verification.prompts == 12  # not more than there are


def test_what_a_choice_of_parameters_costs_is_told_apart_from_what_the_projection_costs(tmp_path):
    run = run_with_rollouts(
        tmp_path, MIXED, grad={"width": 512, "dim": 65536, "modules": "*.0.*v_proj", "feature_dtype": "float32"}
    )
    result = grad(run, verify=8).verification
    assert result.modules == "*.0.*v_proj"
    assert result.projection_alone.cosine_error < 1e-6 < 0.01 < result.without_projection.cosine_error
    assert result.features.cosine_error == pytest.approx(result.without_projection.cosine_error, abs=1e-6)


def test_a_model_that_all_cannot_cover_is_compared_by_its_chosen_parameters(tmp_path, monkeypatch):
    run = run_with_rollouts(tmp_path, MIXED, grad={"width": 16, "modules": "linear"})
    make_engine = comparison.make_engine

    def refused(run, modules=None):
        if modules == "all":
            raise InputError("no per-prompt gradients of model.x")
        return make_engine(run, modules)

    monkeypatch.setattr(comparison, "make_engine", refused)
    result = grad(run, verify=8).verification
    assert "model.x" in result.not_compared
    assert result.features == result.projection_alone


def test_too_few_prompts_are_refused(tmp_path):
    run = run_with_rollouts(tmp_path, [MIXED[0], [0.0] * 4, [0.0] * 4, [0.0] * 4, [0.0] * 4, [0.0] * 4])
    with pytest.raises(InputError, match=r"at least 4 prompts with a gradient, the run has 2"):
        grad(run, verify=10)
    with pytest.raises(InputError, match=r"--verify 2: it compares at least 4"):
        grad(run, verify=2)
