"""The tapped layers, the layers refused by name, and gradients in adapter space."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config, OlmoConfig, Qwen2MoeConfig

from learnalign.errors import InputError, RunError
from learnalign.gradients import logprobs
from learnalign.gradients.capture.sites import find_sites
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.policy.parts import check_head
from tests.gradients.tiny import SHAPE, block_parameters, brute_force, collected, random_samples, tiny_model


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


def test_linear_means_every_linear_layer_of_the_blocks():
    names = {site.name for site in find_sites(tiny_model())}
    kinds = ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"]
    assert names == {f"model.layers.{i}.{kind}_proj" for i in range(2) for kind in kinds}


def test_patterns_choose_layers_by_name():
    names = [site.name for site in find_sites(tiny_model(), "*.1.mlp.*, *k_proj")]
    assert names == [
        "model.layers.0.self_attn.k_proj",
        *(f"model.layers.1.{kind}_proj" for kind in ("self_attn.k", "mlp.gate", "mlp.up", "mlp.down")),
    ]


def test_a_pattern_that_matches_nothing_is_refused_with_examples():
    with pytest.raises(
        InputError, match=r"grad.modules '\*attention\*' matches no linear layer; the model has model.layers.0"
    ):
        find_sites(tiny_model(), "*attention*")


def moe(dtype=torch.float64):
    config = Qwen2MoeConfig(
        **{**SHAPE, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4}
    )
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def test_grouped_experts_are_refused_by_name():
    with pytest.raises(InputError, match=r"model.layers.0.mlp.experts.gate_up_proj") as refusal:
        find_sites(moe())
    assert "grad.modules" in str(refusal.value)


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


def test_transposed_layers_of_gpt2_are_linear_layers():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=2, n_positions=128, initializer_range=0.3)
    policy, samples = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval(), random_samples(3)
    engine = GradientEngine(policy, GradientSettings(beta=0.0))
    names = [name for name, _ in policy.named_parameters() if name.endswith(("attn.c_attn.weight", "c_proj.bias"))]
    gradients = {name: g.mT if g.ndim == 3 else g for name, g in collected(engine, samples).items()}
    torch.testing.assert_close(stacked(gradients, names), brute_force(policy, names, samples), rtol=1e-5, atol=1e-8)


def test_models_that_change_a_layers_output_in_place_are_fine():
    config = OlmoConfig(**SHAPE, clip_qkv=0.5, pad_token_id=0, bos_token_id=1, eos_token_id=1)
    policy, samples = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval(), random_samples(3)
    names = block_parameters(policy)
    gradients = stacked(collected(GradientEngine(policy, GradientSettings(beta=0.0)), samples), names)
    torch.testing.assert_close(gradients, brute_force(policy, names, samples), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    "more", [{"bias": "lora_only"}, {"modules_to_save": ["lm_head"]}, {"trainable_token_indices": [1]}]
)
def test_adapters_that_train_more_than_lora_are_refused(more):
    policy = get_peft_model(tiny_model(dtype=torch.float32), LoraConfig(r=2, target_modules=["q_proj"], **more))
    with pytest.raises(InputError, match=next(iter(more))):
        GradientEngine(policy, GradientSettings(beta=0.0))


def test_logits_that_are_changed_after_the_head_are_refused():
    config = Gemma2Config(**{**SHAPE, "head_dim": 16, "final_logit_softcapping": 0.5})
    with pytest.raises(InputError, match="changes its logits after the output head"):
        check_head(AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval())


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_gradients_of_an_adapter_are_taken_in_adapter_space(beta):
    policy, samples = adapted(), random_samples(4, rollouts=2)
    names = [name for name, _ in policy.named_parameters() if "lora_" in name]
    reference = tiny_model() if beta else None  # the engine switches the adapter off instead
    exact = brute_force(policy, names, samples, reference, beta=beta)
    engine = GradientEngine(policy, GradientSettings(beta=beta, dim=512, width=16))
    assert (stacked(collected(engine, samples), names) - exact).norm() < 1e-6 * exact.norm()
    assert not any(parameter.requires_grad for parameter in policy.parameters())
    alone = torch.cat([engine.features([sample]) for sample in samples])
    torch.testing.assert_close(engine.features(samples), alone, rtol=1e-5, atol=1e-8)


def test_an_adapter_at_its_start_has_gradients_in_its_second_matrix_only():
    policy = get_peft_model(tiny_model(), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    engine = GradientEngine(policy.eval(), GradientSettings(beta=0.0, dim=512))
    for name, gradient in collected(engine, random_samples(2)).items():
        assert bool(gradient.any()) == ("lora_B" in name)


@pytest.mark.parametrize("changes", [{"use_dora": True}, {"target_modules": ["embed_tokens", "q_proj"]}])
def test_adapters_with_other_parameters_are_refused_by_name(changes):
    policy = adapted(**changes)
    with pytest.raises(InputError, match=r"parameters outside plain LoRA layers \(.*lora_"):
        GradientEngine(policy, GradientSettings(beta=0.0))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [False, True])
def test_the_output_head_is_projected_without_bias(monkeypatch, tied, bias):
    policy, samples = tiny_model(tie_word_embeddings=tied, num_hidden_layers=1), random_samples(4, rollouts=2)
    names = ["model.embed_tokens.weight" if tied else "lm_head.weight"]
    if bias:
        policy.lm_head.bias = torch.nn.Parameter(torch.randn(97, dtype=torch.float64), requires_grad=False)
        names.append("lm_head.bias")
    names.append("model.layers.0.self_attn.v_proj.weight")
    names.append("model.layers.0.self_attn.v_proj.bias")
    full = brute_force(policy, names, samples)
    monkeypatch.setitem(logprobs.CHUNK_ENTRIES, "cpu", 20 * 97)  # chunks that cut rows
    wide = GradientSettings(beta=0.0, modules="*v_proj,head", dim=1 << 20, width=512)
    assert_gram(GradientEngine(policy, wide).features(samples), full, 0.02)
    grams = []
    for seed in range(80):
        settings = GradientSettings(beta=0.0, modules="*v_proj,head", dim=512, width=16, seed=seed)
        features = GradientEngine(policy, settings).features(samples)
        grams.append(features @ features.T)
    values = torch.stack(grams)
    assert ((values.mean(0) - full @ full.T).abs() <= 4 * values.std(0) / 80**0.5).all()


def assert_gram(features, full, tolerance):
    expected = full @ full.T
    assert (features @ features.T - expected).abs().max() <= tolerance * expected.abs().max()


def test_the_head_is_refused_rather_than_left_out():
    with pytest.raises(InputError, match="only grad.projection: kronecker"):
        GradientEngine(tiny_model(), GradientSettings(beta=0.0, modules="linear,head", projection="dense"))
    with pytest.raises(InputError, match="adapter"):
        GradientEngine(adapted(), GradientSettings(beta=0.0, modules="linear,head"))
