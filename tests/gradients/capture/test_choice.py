"""Which layers `grad.modules` names, and what is refused by name."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Gemma2Config, GptOssConfig, MambaConfig, OPTConfig

from learnalign.config import load_config
from learnalign.errors import InputError
from learnalign.gradients import check_modules
from learnalign.gradients.capture.choice import find_sites
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.policy.parts import check_head
from tests.gradients.capture.test_sites import adapted, moe
from tests.gradients.tiny import SHAPE, brute_force, collected, every_parameter, random_samples, tiny_model

LINEAR = ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"]
BLOCKS = {f"model.layers.{i}.{kind}_proj" for i in range(2) for kind in LINEAR}
NORMS = {f"model.layers.{i}.{kind}_layernorm" for i in range(2) for kind in ("input", "post_attention")} | {
    "model.norm"
}


def names(modules: str, model: torch.nn.Module | None = None) -> set[str]:
    return {site.name for site in find_sites(tiny_model() if model is None else model, modules)}


@pytest.mark.parametrize("tied", [True, False])
def test_all_means_every_parameter(tied):
    model = tiny_model(tie_word_embeddings=tied)
    assert sorted(find_sites(model).shapes()) == sorted(every_parameter(model))


def test_words_and_patterns_choose_parts():
    model = tiny_model(tie_word_embeddings=False)
    assert names("linear", model) == BLOCKS
    assert names("norms", model) == NORMS
    assert names("linear,head", model) == BLOCKS | {"lm_head"}
    assert names("embedding", model) == {"model.embed_tokens"}
    assert names("*.1.mlp.*, *k_proj, norms", model) == NORMS | {
        "model.layers.0.self_attn.k_proj",
        *(f"model.layers.1.{kind}_proj" for kind in ("self_attn.k", "mlp.gate", "mlp.up", "mlp.down")),
    }


@pytest.mark.parametrize("word", ["head", "embedding"])
def test_a_tied_weight_is_one_parameter_with_both_its_parts(word):
    sites = find_sites(tiny_model(), word)
    assert [site.name for site in sites.embeddings] == ["lm_head"]
    assert sites.head is not None
    assert list(sites.shapes()) == ["lm_head.weight"]


@pytest.mark.parametrize("model", [tiny_model, lambda: adapted()], ids=["weights", "adapter"])
@pytest.mark.parametrize("modules", ["*attention*", "linear,*attention*", "all, *attention*"])
def test_every_part_that_matches_nothing_is_refused_with_examples(modules, model):
    with pytest.raises(
        InputError, match=r"grad.modules: '\*attention\*' matches no linear layer; the model has .*0"
    ) as refusal:
        find_sites(model(), modules)
    assert "all, linear, norms, embedding, head" in str(refusal.value)


def test_no_part_at_all_is_refused():
    with pytest.raises(InputError, match=r"grad.modules: got ',', but it names nothing"):
        load_config("demo", ["grad.modules=,"])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("modules", ["head", "embedding"])
def test_the_head_or_the_embedding_can_stand_alone(modules, tied):
    policy, samples = tiny_model(tie_word_embeddings=tied), random_samples(3)
    engine = GradientEngine(policy, GradientSettings(beta=0.0, modules=modules))
    names = list(engine.sites.shapes())
    exact = brute_force(policy, names, samples)
    torch.testing.assert_close(collected(engine, samples)[names[0]].flatten(1), exact, rtol=1e-6, atol=1e-9)


def gpt_oss() -> torch.nn.Module:
    config = GptOssConfig(**SHAPE, head_dim=16, num_local_experts=4)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()


def opt() -> torch.nn.Module:
    sizes = {"hidden_size": 64, "ffn_dim": 112, "word_embed_proj_dim": 64, "num_hidden_layers": 2}
    config = OPTConfig(vocab_size=97, num_attention_heads=4, max_position_embeddings=128, pad_token_id=1, **sizes)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()


def mamba() -> torch.nn.Module:
    return AutoModelForCausalLM.from_config(MambaConfig(vocab_size=97, hidden_size=64, num_hidden_layers=2)).eval()


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (lambda: moe(torch.float32), "model.layers.0.mlp.experts.gate_up_proj"),
        (gpt_oss, "model.layers.0.self_attn.sinks"),
        (opt, "model.decoder.embed_positions.weight"),
        (mamba, "backbone.layers.0.mixer.conv1d.weight"),
    ],
    ids=["fused experts", "sinks", "positions", "convolution"],
)
def test_parameters_that_all_cannot_cover_are_refused_by_name(model, named):
    with pytest.raises(InputError, match="grad.modules 'all'") as refusal:
        find_sites(model())
    assert named in str(refusal.value)
    assert "grad.modules: linear" in str(refusal.value)


class Scaled(torch.nn.Module):
    """Its input times one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), 2.0, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


def test_one_number_for_all_entries_is_no_norm():
    model = tiny_model()
    model.model.layers[0].mlp.act_fn = Scaled()
    with pytest.raises(InputError, match="no per-prompt gradients of model.layers.0.mlp.act_fn.weight"):
        find_sites(model)


def test_a_table_that_is_not_understood_is_refused_by_its_word_too():
    with pytest.raises(InputError, match=r"model.decoder.embed_positions; leave embedding out"):
        find_sites(opt(), "linear,embedding")
    assert find_sites(opt(), "linear,norms").norms


def test_grouped_experts_are_refused_by_name():
    with pytest.raises(InputError, match=r"model.layers.0.mlp.experts.gate_up_proj") as refusal:
        find_sites(moe(torch.float32), "linear")
    assert "grad.modules" in str(refusal.value)


def test_layers_that_share_a_parameter_are_refused_by_name():
    model = tiny_model()
    model.model.layers[1].mlp.up_proj.weight = model.model.layers[0].mlp.up_proj.weight
    with pytest.raises(
        InputError, match=r"layers.0.mlp.up_proj.weight and model.layers.1.mlp.up_proj.weight are one parameter"
    ):
        find_sites(model)


def test_an_adapter_has_no_gradient_in_frozen_parts():
    with pytest.raises(InputError, match="an adapter does not train head"):
        find_sites(adapted(), "linear,head")
    assert names("all", adapted()) == names("linear", adapted())


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


@pytest.mark.parametrize("changes", [{"use_dora": True}, {"target_modules": ["embed_tokens", "q_proj"]}])
def test_adapters_with_other_parameters_are_refused_by_name(changes):
    policy = adapted(**changes)
    with pytest.raises(InputError, match=r"parameters outside plain LoRA layers \(.*lora_"):
        GradientEngine(policy, GradientSettings(beta=0.0))


@pytest.mark.parametrize("model", [gpt_oss, mamba, lambda: moe(torch.float32)], ids=["sinks", "convolution", "experts"])
def test_kinds_of_layers_without_gradients_per_prompt_show_without_weights(tmp_path, model):
    model().config.save_pretrained(tmp_path)
    config = load_config("demo", [f"model.name={tmp_path}"])
    with pytest.raises(InputError, match="grad.modules 'all'"):
        check_modules(config)
    check_modules(load_config("demo", [f"model.name={tmp_path}", "grad.modules=linear"]))
    check_modules(load_config("demo"))


def test_a_wrong_part_shows_without_weights():
    for modules in ("heads", "linear,heads"):
        with pytest.raises(InputError, match="grad.modules: 'heads' matches no linear layer"):
            check_modules(load_config("demo", [f"grad.modules={modules}"]))
    check_modules(load_config("demo", ["grad.modules=*self_attn*,head"]))
    with pytest.raises(InputError, match="an adapter does not train head"):
        check_modules(load_config("demo", ["grad.modules=linear,head", "warmup.lora.r=4"]))
    check_modules(load_config("demo", ["grad.modules=linear,head", "warmup.lora.r=4", "warmup.size=0"]))


def test_a_pattern_with_all_in_it_is_a_pattern(tmp_path):
    MambaConfig(vocab_size=97, hidden_size=64, num_hidden_layers=2).save_pretrained(tmp_path)
    check_modules(load_config("demo", [f"model.name={tmp_path}", "grad.modules=*[!small]_proj"]))
