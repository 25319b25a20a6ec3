"""Gradients of a model whose small operations are compiled: those of the plain model, and of every parameter."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch._dynamo.utils import counters
from torch.func import functional_call
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, Qwen3Config
from transformers.models.qwen2 import modeling_qwen2

from learnalign.errors import InputError
from learnalign.gradients import GradientEngine, GradientSettings, grad
from learnalign.policy import kernels
from learnalign.policy.kernels import choose_kernels, fuse, fused
from learnalign.rundir import RunDir
from tests.gradients.pool import run_with_rollouts
from tests.gradients.test_stage import stored
from tests.gradients.tiny import SHAPE, collected, every_parameter, objective, random_samples, tiny_model

# Compiles what inductor compiles, but does not make new code of it: a tenth of the time.
quick = functools.partial(fuse, backend="aot_eager")


def gradients_by_torch_func(model, samples):
    """Whole gradients [samples, parameters] of every parameter."""
    names = every_parameter(model)

    class Value(torch.nn.Module):
        def forward(self, parameters, sample):
            return objective(lambda input_ids: functional_call(model, parameters, (input_ids,)), None, sample)

    gradient = torch.func.grad(Value())
    rows = [gradient({name: model.get_parameter(name) for name in names}, sample) for sample in samples]
    return torch.stack([torch.cat([row[name].flatten() for name in names]) for row in rows])


def error_of_fused(model, fuse) -> float:
    """The largest relative error of a sample's gradient with the model fused, against torch.func's without."""
    samples, names = random_samples(4), every_parameter(model)
    expected = gradients_by_torch_func(model, samples)
    assert fuse(model) > 0
    gradients = collected(GradientEngine(model, GradientSettings(beta=0.0)), samples)
    rows = torch.cat([gradients[name].flatten(1) for name in names], dim=1)
    return float(((rows - expected).norm(dim=1) / expected.norm(dim=1)).max())


@pytest.mark.slow
def test_gradients_of_a_compiled_model_are_those_of_torch_func():
    """Norms' scales too, which a norm that is fused with its neighbours would lose."""
    before = counters["stats"]["unique_graphs"], modeling_qwen2.apply_rotary_pos_emb
    assert error_of_fused(tiny_model(), quick) < 1e-6  # norms compute in float32
    assert counters["stats"]["unique_graphs"] >= before[0] + 3
    assert modeling_qwen2.apply_rotary_pos_emb is before[1]


def test_every_norm_rotary_embedding_and_gated_mlp_is_a_part():
    model = tiny_model()
    assert fuse(model) == 5 + 2 + 2
    changed = {type(module).__name__ for module in model.modules() if "forward" in vars(module)}
    assert changed == {"Qwen2RMSNorm", "Qwen2Attention", "Qwen2MLP"}


def test_a_gated_mlp_that_computes_something_else_is_left_alone():
    model = tiny_model()
    kind = type(model.model.layers[0].mlp)
    clamped = type("Clamped", (kind,), {"forward": lambda self, x: kind.forward(self, x).clamp(-0.01, 0.01)})
    model.model.layers[0].mlp.__class__ = clamped
    assert fuse(model) == 5 + 2 + 1
    assert "forward" not in vars(model.model.layers[0].mlp)


def test_auto_leaves_a_model_on_a_cpu_as_it_is(monkeypatch):
    model = tiny_model()
    assert choose_kernels("auto") == choose_kernels("off") == "off"
    assert not any("forward" in vars(module) for module in fused(model, "auto").modules())
    monkeypatch.setattr(kernels, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: name == "triton")
    assert choose_kernels("auto") == "compile"
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: None)
    assert choose_kernels("auto") == "off"


def test_a_compiler_that_fails_is_refused(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", lambda function, **options: broken)
    with pytest.raises(InputError, match=r"could not compile \(no compiler\); it needs a C\+\+ compiler"):
        fused(tiny_model(), "compile")


def scaled(part):
    return part * 1.02


def with_half_the_gradient(part):
    return part.detach() + 0.5 * (part - part.detach())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("forward", "Qwen2RMSNorm"), ("apply_rotary_pos_emb", "Qwen2Attention"), ("_product", "Qwen2MLP")],
)
@pytest.mark.parametrize(("wrong", "what"), [(scaled, "results"), (with_half_the_gradient, "gradients")])
def test_a_part_that_is_compiled_to_something_else_is_refused(monkeypatch, name, kind, wrong, what):
    def compile(function, **options):
        if function.__name__ != name:
            return function
        return lambda *given: _each(wrong, function(*given))

    monkeypatch.setattr(torch, "compile", compile)
    model = tiny_model()
    with pytest.raises(
        InputError, match=rf"the {what} of {kind} are 0.\d+ \(relative\) from what they were; set it to off"
    ):
        fused(model, "compile")
    assert not any("forward" in vars(module) for module in model.modules())


def _each(wrong, result):
    return tuple(map(wrong, result)) if isinstance(result, tuple) else wrong(result)


def test_a_model_without_such_parts_is_refused_if_they_were_asked_for():
    config = GPT2Config(vocab_size=97, n_embd=32, n_layer=1, n_head=2)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    with pytest.raises(InputError, match="GPT2LMHeadModel has no RMSNorm"):
        fused(model, "compile")


def test_a_run_says_what_was_taken_and_goes_on_with_another_setting(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(function) or function)
    run = run_with_rollouts(tmp_path, grad={"dim": 128, "width": 8})
    assert graded(run, "off") == "off"
    without = stored(run)
    assert graded(run, "auto") == graded(run, "compile") == "off"  # what is stored stays
    assert not compiled
    first, *others = run.shards()
    assert others
    run.gradients_file(first).unlink()
    assert graded(run, "compile") == "compile, off"
    assert len(compiled) == 3
    for id, (feature, norm) in stored(run).items():
        torch.testing.assert_close(feature, without[id][0], atol=1e-4, rtol=0)
        assert norm == pytest.approx(without[id][1], rel=1e-4)


def graded(run, setting):
    """What run.json says of kernels after `grad` with that `model.kernels`."""
    model = run.config.model.model_copy(update={"kernels": setting})
    grad(RunDir.create(run.path, run.config.model_copy(update={"model": model})))
    return run.read_record()["stages"]["grad"]["kernels"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "llama", "qwen3", "gemma3"])
def test_gradients_of_a_model_compiled_by_inductor_are_those_of_torch_func(kind):
    assert error_of_fused(slow_model(kind, torch.float64), fuse) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_features_in_bfloat16_compiled_by_inductor_are_as_near_the_true_ones(kind):
    """Compiled parts round less often than torch does operation by operation."""
    samples = random_samples(12)
    plain, true = slow_model(kind, torch.bfloat16), slow_model(kind, torch.bfloat16).float()
    compiled = fused(copy.deepcopy(plain), "compile")
    of = {}
    for name, model in {"plain": plain, "compiled": compiled, "true": true}.items():
        features = GradientEngine(model, GradientSettings(beta=0.0)).features(samples)
        of[name] = torch.nn.functional.normalize(features)
    cosines = {name: of[name] @ of[name].T for name in of}
    worst = {name: (cosines[name] - cosines["true"]).abs().max() for name in ("plain", "compiled")}
    print(worst)
    assert worst["compiled"] < 1.5 * worst["plain"]


def slow_model(kind, dtype):
    if kind in ("qwen2", "llama"):
        return tiny_model(kind, dtype)
    config = {"qwen3": Qwen3Config, "gemma3": Gemma3TextConfig}[kind](**{**SHAPE, "head_dim": 32, "bos_token_id": 1})
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval().requires_grad_(False)
