"""Completions that go through the model together: the same gradients, where it pays, and only where a model allows it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, MptConfig, Qwen2Config

from learnalign.gradients.batching import collate, rows_of
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Completion, Sample
from learnalign.gradients.sharing import Sharing, can_share, tree_inputs
from tests.gradients.tiny import SHAPE, block_parameters, brute_force, collected, random_samples, tiny_model


def long_prompts(count: int) -> list[Sample]:
    """Prompts long enough that even a tiny model's completions share them; one completion is a single token."""
    prompts = random_samples(count, longest=90, seed=3)
    samples = []
    for prompt, other in zip(prompts, random_samples(count, rollouts=5, longest=9, seed=4), strict=True):
        completions = [*other.completions[:4], Completion(other.completions[4].token_ids[:1], 0.7)]
        samples.append(Sample(prompt.id, [*prompt.prompt_ids, *range(60)], completions))
    return samples


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_shared_rows_have_the_gradients_of_separate_ones(kind, attn):
    policy: Any = tiny_model(kind)
    reference: Any = tiny_model(kind, seed=1)
    policy.set_attn_implementation(attn)
    reference.set_attn_implementation(attn)
    samples = long_prompts(4)
    engine = GradientEngine(policy, GradientSettings(beta=0.2, temperature=0.9, batch_tokens=400), reference)
    rows = engine.rows(samples)
    assert max(len(row.branches) for group in rows for row in group) > 1
    assert sum(row.length for group in rows for row in group) < sum(r.length for g in rows_of(samples) for r in g)
    names = block_parameters(policy)
    found = torch.cat([gradient.flatten(1) for gradient in collected(engine, samples).values()], dim=1)
    order = list(collected(engine, samples))
    exact = brute_force(policy, order, samples, reference, beta=0.2, temperature=0.9)
    assert sorted(order) == sorted(names)
    assert (found - exact).norm() < 1e-6 * exact.norm()


def test_features_do_not_depend_on_sharing():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, modules="linear,head", dim=512, width=16))
    shared = engine.features(long_prompts(3))
    engine.sharing.possible = False
    torch.testing.assert_close(engine.features(long_prompts(3)), shared, rtol=1e-5, atol=1e-6)


def test_a_shared_row_that_does_not_fit_is_divided():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, dim=64, width=8))
    samples = long_prompts(3)
    expected, backward = engine.features(samples), engine.backward

    def limited(batch, sink, sites=None):
        if batch.branches is not None:
            raise torch.OutOfMemoryError
        backward(batch, sink, sites)

    engine.backward = limited  # type: ignore[method-assign]
    told: list[float] = []
    torch.testing.assert_close(engine.features(samples, told.append), expected, rtol=1e-5, atol=1e-7)
    assert sum(told) == pytest.approx(3)
    assert all(len(row.branches) == 1 for rows in engine.rows(samples) for row in rows)


def test_every_completion_sees_the_prompt_and_itself_only():
    sample = Sample("x", [7, 8, 9], [Completion([1, 2, 3], 1.0), Completion([4, 5], 1.0), Completion([6], 1.0)])
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


def test_completions_go_together_only_where_that_costs_less():
    sharing = Sharing(tiny_model())

    def sample(prompt: int, completion: int) -> Sample:
        return Sample("x", [1] * prompt, [Completion([2] * completion, 1.0)] * 8)

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
