"""Gradients of every kind of parameter against plain autograd, in adapter space too."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    NemotronConfig,
    OlmoConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
)
from transformers.pytorch_utils import Conv1D

from learnalign.errors import RunError
from learnalign.gradients import logprobs
from learnalign.gradients.engine import GradientEngine, GradientSettings
from tests.gradients.tiny import SHAPE, brute_force, collected, every_parameter, random_samples, referred, tiny_model


def stacked(gradients: dict[str, torch.Tensor], names: list[str]) -> torch.Tensor:
    return torch.cat([gradients[name].flatten(1) for name in names], dim=1)


def adapted(**changes):
    """A tiny Qwen2 with a LoRA adapter whose B is not zero, frozen."""
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **changes}
    policy = get_peft_model(tiny_model(), LoraConfig(**settings))
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_" in name:
                parameter.data = torch.randn_like(parameter, dtype=torch.float64) * 0.1
    return policy.eval().requires_grad_(False)


def moe(dtype=torch.float64):
    config = Qwen2MoeConfig(
        **{**SHAPE, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4}
    )
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def test_layers_beside_grouped_experts_can_be_chosen():
    policy, samples = moe(torch.float32), random_samples(3)  # its kernel knows no float64
    engine = GradientEngine(policy, GradientSettings(beta=0.0, modules="*self_attn*"))
    names = [name for name, _ in policy.named_parameters() if "self_attn" in name and "_proj" in name]
    exact = brute_force(policy, names, samples)
    torch.testing.assert_close(stacked(collected(engine, samples), names), exact, rtol=1e-4, atol=1e-5)


def test_routed_layers_whose_rows_are_not_prompts_are_refused_by_name():
    engine = GradientEngine(moe(torch.float32), GradientSettings(beta=0.0, modules="*self_attn*,*shared_expert.*"))
    with pytest.raises(RunError, match=r"model.layers.0.mlp.shared_expert.\w+ reads a tensor of shape"):
        engine.features(random_samples(2))


SMALL = {"vocab_size": 97, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
UNTIED = {**SHAPE, "tie_word_embeddings": False}
MODELS = {
    "GPT-2: transposed layers, a table of positions": GPT2Config(
        vocab_size=97, n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=0, eos_token_id=0
    ),
    "Gemma 3: scaled embeddings, norms that multiply by 1 + w": Gemma3TextConfig(
        **SHAPE, head_dim=16, sliding_window=64
    ),
    "Qwen3: norms of every head": Qwen3Config(**SHAPE, head_dim=16),
    "Cohere: norms with a matrix of weights": CohereConfig(
        **SHAPE, logit_scale=1.0, use_qk_norm=True, pad_token_id=0, bos_token_id=1, eos_token_id=1
    ),
    "Nemotron: norms with a bias that multiply by 1 + w": NemotronConfig(**UNTIED),
    "BLOOM: a norm after the embedding": BloomConfig(vocab_size=97, hidden_size=64, n_layer=2, n_head=4),
    "Falcon: parallel attention and feed-forward layers": FalconConfig(**SMALL),
    "a padding token, whose row torch gives no gradient": Qwen2Config(**UNTIED, pad_token_id=5),
}


@pytest.mark.parametrize("kind", MODELS)
def test_gradients_of_all_parameters_are_those_of_plain_autograd(kind):
    torch.manual_seed(0)
    attention = "eager" if kind.startswith("BLOOM") else "sdpa"
    policy = AutoModelForCausalLM.from_config(MODELS[kind], dtype=torch.float64, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    samples = random_samples(4, rollouts=2)
    gradients = collected(GradientEngine(policy.requires_grad_(False), GradientSettings(beta=0.0)), samples)
    names = list(gradients)
    covered = {id(policy.get_parameter(name)) for name in names}
    assert covered == {id(parameter) for parameter in policy.parameters()}
    transposed = {f"{name}.weight" for name, module in policy.named_modules() if isinstance(module, Conv1D)}
    gradients = {name: g.mT if name in transposed else g for name, g in gradients.items()}
    exact = brute_force(policy, names, samples)
    assert (stacked(gradients, names) - exact).norm() < 1e-6 * exact.norm()


def test_models_that_change_a_layers_output_in_place_are_fine():
    config = OlmoConfig(**SHAPE, clip_qkv=0.5, pad_token_id=0, bos_token_id=1, eos_token_id=1)
    policy, samples = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval(), random_samples(3)
    names = every_parameter(policy)
    gradients = stacked(collected(GradientEngine(policy, GradientSettings(beta=0.0)), samples), names)
    torch.testing.assert_close(gradients, brute_force(policy, names, samples), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_gradients_of_an_adapter_are_taken_in_adapter_space(beta):
    policy, samples = adapted(), random_samples(4, rollouts=2)
    names = [name for name, _ in policy.named_parameters() if "lora_" in name]
    reference = tiny_model() if beta else None
    exact = brute_force(policy, names, samples, reference, beta=beta)
    engine = GradientEngine(policy, GradientSettings(beta=beta, dim=512, width=16))
    samples = referred(samples, tiny_model()) if beta else samples
    assert (stacked(collected(engine, samples), names) - exact).norm() < 1e-6 * exact.norm()
    assert not any(parameter.requires_grad for parameter in policy.parameters())
    alone = torch.cat([engine.features([sample]) for sample in samples])
    torch.testing.assert_close(engine.features(samples), alone, rtol=1e-5, atol=1e-8)


def test_an_adapter_at_its_start_has_gradients_in_its_second_matrix_only():
    policy = get_peft_model(tiny_model(), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    engine = GradientEngine(policy.eval(), GradientSettings(beta=0.0, dim=512))
    for name, gradient in collected(engine, random_samples(2)).items():
        assert bool(gradient.any()) == ("lora_B" in name)


@pytest.mark.parametrize(
    ("projection", "tied", "bias"),
    [
        ("kronecker", True, False),
        pytest.param("kronecker", False, True, marks=pytest.mark.slow),
        pytest.param("dense", True, False, marks=pytest.mark.slow),
        pytest.param("dense", False, True, marks=pytest.mark.slow),
    ],
)
def test_all_kinds_of_parameters_are_projected_without_bias(monkeypatch, projection, tied, bias):
    policy, samples = tiny_model(tie_word_embeddings=tied, num_hidden_layers=1), random_samples(4, rollouts=2)
    names = ["lm_head.weight", "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.v_proj.bias"]
    names += [
        "model.norm.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.post_attention_layernorm.weight",
    ]
    names += [] if tied else ["model.embed_tokens.weight"]
    if bias:
        policy.lm_head.bias = torch.nn.Parameter(torch.randn(97, dtype=torch.float64), requires_grad=False)
        names.append("lm_head.bias")
    full = brute_force(policy, names, samples)
    monkeypatch.setitem(logprobs.CHUNK_ENTRIES, "cpu", 20 * 97)  # chunks that cut rows
    grams = []
    for seed in range(40):
        settings = GradientSettings(
            beta=0.0, modules="*v_proj,norms,embedding,head", dim=512, width=16, seed=seed, projection=projection
        )
        features = GradientEngine(policy, settings).features(samples)
        grams.append(features @ features.T)
    values = torch.stack(grams)
    assert ((values.mean(0) - full @ full.T).abs() <= 4 * values.std(0) / 40**0.5).all()


def test_wide_projections_keep_inner_products_of_all_parameters():
    policy, samples = tiny_model(num_hidden_layers=1), random_samples(4, rollouts=2)
    settings = GradientSettings(beta=0.0, dim=1 << 20, width=512)
    features, full = (
        GradientEngine(policy, settings).features(samples),
        brute_force(policy, every_parameter(policy), samples),
    )
    expected = full @ full.T
    assert (features @ features.T - expected).abs().max() <= 0.02 * expected.abs().max()
