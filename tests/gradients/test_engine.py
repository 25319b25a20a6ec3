"""The engine against plain autograd and torch.func, and its independence of how work is cut up."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from learnalign.errors import RunError
from learnalign.gradients import engine as engine_module
from learnalign.gradients.capture.batching import collate
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout
from tests.gradients.tiny import (
    Collector,
    brute_force,
    collected,
    every_parameter,
    objective,
    random_samples,
    referred,
    tiny_model,
)


def stacked(gradients: dict[str, torch.Tensor], names: list[str]) -> torch.Tensor:
    return torch.cat([gradients[name].flatten(1) for name in names], dim=1)


def close(rows: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    return bool(((rows - expected).norm(dim=1) <= tolerance * expected.norm(dim=1)).all())


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize(("beta", "temperature", "rollouts"), [(0.0, 1.0, 1), (0.3, 0.7, 3)])
def test_gradients_are_those_of_plain_autograd(kind, beta, temperature, rollouts):
    policy = tiny_model(kind)
    reference = tiny_model(kind, seed=1) if beta else None
    samples, names = random_samples(6, rollouts), every_parameter(policy)
    samples = referred(samples, reference, temperature) if reference else samples
    engine = GradientEngine(policy, GradientSettings(beta=beta, temperature=temperature))
    exact = brute_force(policy, names, samples, reference, beta=beta, temperature=temperature)
    assert close(stacked(collected(engine, samples), names), exact, 1e-6)  # the models' norms compute in float32


def test_gradients_are_those_of_torch_func():
    policy = tiny_model()
    names = every_parameter(policy)
    samples = random_samples(3)

    class Bound(torch.nn.Module):
        def forward(self, parameters, sample):
            return objective(_Functional(policy, parameters), None, sample)

    gradient = torch.func.grad(Bound())
    rows = [gradient({n: policy.get_parameter(n) for n in names}, sample) for sample in samples]
    expected = torch.stack([torch.cat([row[name].flatten() for name in names]) for row in rows])
    engine = GradientEngine(policy, GradientSettings(beta=0.0))
    assert close(stacked(collected(engine, samples), names), expected, 1e-6)


class _Functional:
    """Looks like a model, calls it with other parameters."""

    def __init__(self, model, parameters):
        self._model, self._parameters = model, parameters

    def __call__(self, **inputs):
        return torch.func.functional_call(self._model, self._parameters, kwargs=inputs)


@pytest.mark.parametrize(
    ("kind", "projection"),
    [
        ("qwen2", "kronecker"),
        pytest.param("llama", "dense", marks=pytest.mark.slow),
        pytest.param("qwen2", "dense", marks=pytest.mark.slow),
        pytest.param("llama", "kronecker", marks=pytest.mark.slow),
    ],
)
def test_features_are_the_same_alone_in_a_batch_padded_and_in_any_order(kind, projection):
    policy = tiny_model(kind, dtype=torch.float32)
    reference = tiny_model(kind, dtype=torch.float32, seed=1)
    settings = GradientSettings(dim=256, width=16, batch_tokens=100_000, projection=projection)
    engine = GradientEngine(policy, settings)
    samples = [*random_samples(7, rollouts=2), *random_samples(1, rollouts=2, seed=5, longest=60)]
    samples = referred(samples, reference)
    together = engine.features(samples)
    alone = torch.cat([engine.features([sample]) for sample in samples])
    backwards = engine.features(samples[::-1]).flip(0)
    small = GradientEngine(policy, dataclasses.replace(settings, batch_tokens=50)).features(samples)
    for other in (alone, backwards, small):
        assert close(other, together, 1e-4)


def test_unit_features_do_not_depend_on_the_advantage_of_one_rollout():
    engine = GradientEngine(tiny_model(dtype=torch.float32), GradientSettings(beta=0.0, dim=256))
    sample = random_samples(1)[0]
    scaled = dataclasses.replace(sample, rollouts=[UsedRollout(sample.rollouts[0].token_ids, 0.01)])
    first, second = torch.nn.functional.normalize(engine.features([sample, scaled]))
    assert torch.allclose(first, second * sample.rollouts[0].advantage / abs(sample.rollouts[0].advantage), atol=1e-5)


def test_the_feature_of_a_group_is_the_mean_over_its_rollouts():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, dim=256))
    sample = random_samples(1, rollouts=3)[0]
    single = [dataclasses.replace(sample, rollouts=[completion]) for completion in sample.rollouts]
    assert close(engine.features([sample]), engine.features(single).mean(0, keepdim=True), 1e-6)  # norms are float32


def test_chunks_of_the_head_do_not_change_the_gradient(monkeypatch):
    engine = GradientEngine(tiny_model(), GradientSettings(dim=256, beta=0.5))
    samples = referred(random_samples(4, longest=40), tiny_model(seed=1))
    whole = engine.features(samples)
    monkeypatch.setitem(__import__("learnalign.gradients.logprobs", fromlist=["x"]).CHUNK_ENTRIES, "cpu", 1)
    assert close(engine.features(samples), whole, 1e-6)


def test_float16_keeps_the_gradients_of_long_completions():
    policy = tiny_model(dtype=torch.float16)
    wide = tiny_model(dtype=torch.float64)
    wide.load_state_dict({name: tensor.double() for name, tensor in policy.state_dict().items()})
    samples = [Sample("x", [1, 2, 3], [UsedRollout([4, 5, 6] * 30, 0.001)])]
    settings = GradientSettings(beta=0.0, dim=512)
    half = GradientEngine(policy, settings).features(samples).double()
    expected = GradientEngine(wide, settings).features(samples)
    assert torch.nn.functional.cosine_similarity(half, expected).item() > 0.99
    assert half.norm() == pytest.approx(expected.norm().item(), rel=0.05)


def test_beta_without_a_reference_is_refused():
    samples = random_samples(2)
    for given in (samples, [*referred(samples[:1], tiny_model()), *samples[1:]]):
        with pytest.raises(RunError, match="needs the reference's log-probability"):
            GradientEngine(tiny_model(), GradientSettings(beta=0.04)).features(given)


def test_a_cpus_attention_is_left_out_on_a_gpu(monkeypatch):
    """It looks at every call of torch: time that a GPU waits for."""
    monkeypatch.setattr(engine_module, "CpuAttention", None)
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, dim=256))
    with pytest.raises(TypeError):
        collected(engine, random_samples(2))
    batch = collate(engine.rows(random_samples(2)), engine.device, engine.dtype)
    engine.device = torch.device("cuda")
    engine.backward(batch, Collector(2))
