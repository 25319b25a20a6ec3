"""Completions that share a row: the same gradients, only if it is cheaper, and only if the model allows it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, GPTNeoConfig, MptConfig, Qwen2Config

from learnalign.gradients.capture.batching import collate, rows_of
from learnalign.gradients.capture.sharing import Sharing, can_share, tree_inputs
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout
from learnalign.gradients.reference import LogProbs, with_reference
from tests.gradients.tiny import (
    SHAPE,
    VOCABULARY,
    brute_force,
    collected,
    every_parameter,
    long_prompts,
    most_branches,
    referred,
    tiny_model,
)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_shared_rows_have_the_gradients_of_separate_ones(kind, attn):
    policy: Any = tiny_model(kind)
    reference: Any = tiny_model(kind, seed=1)
    policy.set_attn_implementation(attn)
    reference.set_attn_implementation(attn)
    samples = referred(long_prompts(4), reference, 0.9)
    engine = GradientEngine(policy, GradientSettings(beta=0.2, temperature=0.9, batch_tokens=400))
    rows = engine.rows(samples)
    assert most_branches(engine, samples) > 1
    assert sum(row.length for group in rows for row in group) < sum(r.length for g in rows_of(samples) for r in g)
    names = every_parameter(policy)
    gradients = torch.cat([gradient.flatten(1) for gradient in collected(engine, samples).values()], dim=1)
    order = list(collected(engine, samples))
    exact = brute_force(policy, order, samples, reference, beta=0.2, temperature=0.9)
    assert sorted(order) == sorted(names)
    assert (gradients - exact).norm() < 1e-6 * exact.norm()


def test_features_do_not_depend_on_sharing():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, modules="linear,head", dim=512, width=16))
    assert most_branches(engine, long_prompts(3)) > 1
    shared = engine.features(long_prompts(3))
    engine.sharing.possible = False
    torch.testing.assert_close(engine.features(long_prompts(3)), shared, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_shared_row_that_does_not_fit_is_divided():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, dim=64, width=8))
    samples = long_prompts(3)
    assert most_branches(engine, samples) > 1
    expected, backward = engine.features(samples), engine.backward

    def limited(batch, sink, sites=None):
        if batch.branches is not None:
            raise torch.OutOfMemoryError
        return backward(batch, sink, sites)

    engine.backward = limited  # type: ignore[method-assign]
    advances: list[float] = []
    torch.testing.assert_close(engine.features(samples, advances.append), expected, rtol=1e-5, atol=1e-5)
    assert sum(advances) == pytest.approx(3)
    assert all(len(row.branches) == 1 for rows in engine.rows(samples) for row in rows)


def test_division_goes_on_until_the_rows_fit():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, dim=64, width=8))
    engine.budget.tokens = 64  # below a row: no failure changes it
    samples = long_prompts(2)
    expected, backward, sizes = engine.features(samples), engine.backward, []

    def limited(batch, sink, sites=None):
        sizes.append(batch.token_ids.numel())
        if sizes[-1] > 160:
            raise torch.OutOfMemoryError
        return backward(batch, sink, sites)

    engine.backward = limited  # type: ignore[method-assign]
    torch.testing.assert_close(engine.features(samples), expected, rtol=1e-5, atol=1e-7)
    assert max(sizes) > 160
    assert len(sizes) < 20


def test_every_completion_sees_the_prompt_and_itself_only():
    sample = Sample("x", [7, 8, 9], [UsedRollout([1, 2, 3], 1.0), UsedRollout([4, 5], 1.0), UsedRollout([6], 1.0)])
    batch = collate(rows_of([sample], lambda one: 3), torch.device("cpu"), torch.float64)
    assert batch.token_ids.tolist() == [[7, 8, 9, 1, 2, 4]]
    assert batch.positions.tolist() == [2, 3, 4, 2, 5, 2]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.branches is not None
    position_ids, mask = tree_inputs(batch.branches, torch.float64)
    assert position_ids.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert (mask[0, 0] == 0).int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0, 1],
    ]


def test_completions_share_a_row_only_if_that_costs_less():
    sharing = Sharing(tiny_model())

    def sample(prompt: int, completion: int) -> Sample:
        return Sample("x", [1] * prompt, [UsedRollout([2] * completion, 1.0)] * 8)

    assert sharing.together(sample(2000, 10), 10_000) == 8
    assert sharing.together(sample(5, 2000), 100_000) == 1
    assert sharing.together(sample(2000, 10), 2030) == 3
    assert sharing.together(sample(2000, 10), 100) == 1
    for prompt, completion in [(50, 50), (200, 60), (900, 300)]:
        best = sharing.together(sample(prompt, completion), 100_000)
        assert sharing.cost(sample(prompt, completion), best) <= sharing.cost(sample(prompt, completion), 1)


@pytest.mark.parametrize(
    "config",
    [
        Gemma3TextConfig(**{**SHAPE, "num_hidden_layers": 6, "head_dim": 16, "sliding_window": 8}),
        Qwen2Config(**{**SHAPE, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}),
    ],
)
def test_models_with_windows_do_not_share(config):
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    assert not can_share(model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_rounding_does_not_keep_a_model_from_sharing(dtype):
    assert can_share(tiny_model("qwen2", dtype=dtype))


def test_a_model_without_positions_does_not_share():
    config = MptConfig(d_model=32, n_heads=2, n_layers=2, max_seq_len=64, vocab_size=50)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    assert not can_share(model)


def test_a_model_that_does_not_heed_the_mask_does_not_share():
    model = tiny_model()
    assert can_share(model)
    forward = model.model.forward
    model.model.forward = lambda **inputs: forward(**{**inputs, "attention_mask": None, "position_ids": None})
    assert not can_share(model)


def test_a_reference_that_cannot_share_does_not_keep_the_policy_from_it():
    config = Qwen2Config(**{**SHAPE, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0})
    reference, samples = LogProbs(AutoModelForCausalLM.from_config(config, dtype=torch.float64)), long_prompts(2)
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.1))
    assert (
        most_branches(reference, samples) == 1 < most_branches(engine, with_reference(samples, reference.of(samples)))
    )


def test_policy_and_reference_may_differ_in_precision():
    policy, reference = tiny_model(dtype=torch.bfloat16), tiny_model(seed=1, dtype=torch.float32)
    samples = with_reference(long_prompts(2), LogProbs(reference).of(long_prompts(2)))
    engine = GradientEngine(policy, GradientSettings(beta=0.1, dim=64, width=8))
    assert engine.features(samples).isfinite().all()


def test_models_whose_mask_is_cut_by_columns_do_not_share():
    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        attention_types=[[["local"], 2]],
        window_size=64,
    )
    assert not can_share(AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager"))


def test_padding_beside_a_tree_stays_within_the_context():
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=90)
    policy = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
    plain = Sample("plain", [1] * 70, [UsedRollout([2] * 20, 1.0)])
    samples = [Sample("tree", [3] * 60, [UsedRollout([k] * 9, 1.0) for k in range(5)]), plain]
    engine = GradientEngine(policy, GradientSettings(beta=0.0, dim=64, width=8, batch_tokens=1000))
    assert max(row.length for rows in engine.rows(samples) for row in rows) > 90
    shared = engine.features(samples)
    engine.sharing.possible = False
    torch.testing.assert_close(shared, engine.features(samples), rtol=1e-8, atol=1e-10)
