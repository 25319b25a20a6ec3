"""Tiny random models and samples, and gradients by plain autograd to compare the engine with."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen2Config

from learnalign.gradients.capture.batching import Row, collate
from learnalign.gradients.capture.sites import Embedding, Site
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.grpo import Sample, UsedRollout
from learnalign.gradients.passes import Passes

VOCABULARY = 97
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}


def tiny_model(kind: str = "qwen2", dtype: torch.dtype = torch.float64, seed: int = 0, **changes: object) -> nn.Module:
    """A random Qwen2 (biases on q, k, v) or Llama of two layers with weights large enough to make varied logits."""
    config: PretrainedConfig = {"qwen2": Qwen2Config, "llama": LlamaConfig}[kind](**{**SHAPE, **changes})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3 if "embed" in name else 1.5 / parameter.shape[1] ** 0.5)
            elif "bias" in name:
                parameter.normal_(std=0.1)
    return model.eval().requires_grad_(False)


def random_samples(count: int, rollouts: int = 1, seed: int = 0, longest: int = 24) -> list[Sample]:
    """Samples of different lengths with random tokens and advantages."""
    rng = random.Random(seed)

    def tokens(shortest: int) -> list[int]:
        return [rng.randrange(VOCABULARY) for _ in range(rng.randrange(shortest, longest))]

    return [
        Sample(f"p{i}", tokens(3), [UsedRollout(tokens(2), rng.choice([-0.8, 0.4, 1.3])) for _ in range(rollouts)])
        for i in range(count)
    ]


def long_prompts(count: int) -> list[Sample]:
    """Prompts long enough that even a tiny model's completions share them; one completion is a single token."""
    prompts = random_samples(count, longest=90, seed=3)
    samples = []
    for prompt, other in zip(prompts, random_samples(count, rollouts=5, longest=9, seed=4), strict=True):
        completions = [*other.rollouts[:4], UsedRollout(other.rollouts[4].token_ids[:1], 0.7)]
        samples.append(Sample(prompt.id, [*prompt.prompt_ids, *range(60)], completions))
    return samples


def most_branches(engine: Passes, samples: list[Sample]) -> int:
    """Completions of the row that holds most of them."""
    return max(len(row.branches) for rows in engine.rows(samples) for row in rows)


def objective(
    policy: nn.Module, reference: nn.Module | None, sample: Sample, beta: float = 0.0, temperature: float = 1.0
) -> Tensor:
    """The GRPO surrogate of one sample, unpadded, one rollout at a time: its gradient is Eq. 7's."""
    total = torch.zeros((), dtype=torch.float64)
    for completion in sample.rollouts:
        ids = torch.tensor([[*sample.prompt_ids, *completion.token_ids]])
        log_probs = _log_probs(policy, ids, len(completion.token_ids), temperature)
        value = completion.advantage * torch.exp(log_probs - log_probs.detach())
        if reference is not None:
            gap = _log_probs(reference, ids, len(completion.token_ids), temperature).detach() - log_probs
            value = value - beta * (torch.exp(gap) - gap - 1)
        total = total + value.mean()
    return total / len(sample.rollouts)


def _log_probs(model: nn.Module, ids: Tensor, count: int, temperature: float) -> Tensor:
    logits = model(input_ids=ids).logits[0, -count - 1 : -1] / temperature
    return torch.log_softmax(logits, -1).gather(1, ids[0, -count:, None]).squeeze(1)


def brute_force(
    policy: nn.Module, names: list[str], samples: list[Sample], reference: nn.Module | None = None, **settings: float
) -> Tensor:
    """Full gradients [samples, parameters] of the named parameters by autograd, one sample at a time."""
    parameters = [policy.get_parameter(name) for name in names]
    for parameter in parameters:
        parameter.requires_grad_()
    rows = []
    for sample in samples:
        gradients = torch.autograd.grad(objective(policy, reference, sample, **settings), parameters)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    for parameter in parameters:
        parameter.requires_grad_(False)
    return torch.stack(rows)


def referred(samples: list[Sample], reference: nn.Module, temperature: float = 1.0) -> list[Sample]:
    """The samples with log π_ref of their tokens, unpadded, one rollout at a time."""

    def log_probs(sample: Sample, rollout: UsedRollout) -> Tensor:
        ids = torch.tensor([[*sample.prompt_ids, *rollout.token_ids]])
        with torch.no_grad():
            return _log_probs(reference, ids, len(rollout.token_ids), temperature)

    return [
        dataclasses.replace(s, rollouts=[dataclasses.replace(one, reference=log_probs(s, one)) for one in s.rollouts])
        for s in samples
    ]


def every_parameter(model: nn.Module) -> list[str]:
    """All parameters; a tied weight has the head's name, as in the engine."""
    tied = getattr(model.config, "tie_word_embeddings", False)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return [name for name in names if not tied or name not in ("model.embed_tokens.weight", "transformer.wte.weight")]


def block_parameters(model: nn.Module) -> list[str]:
    """Weights and biases of the linear layers of the blocks."""
    return [name for name, _ in model.named_parameters() if "_proj" in name]


class Collector:
    """A sink that keeps every site's whole gradient, row by row: the engine without any projection."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.gradients: dict[str, Tensor] = {}

    def on_input(self, site: Site, x: Tensor) -> Tensor:
        return x

    def on_gradient(self, site: Site, saved: Tensor, delta: Tensor) -> None:
        self._add(f"{site.name}.weight", torch.einsum("bto,bti->boi", delta, saved))
        if site.has_bias:
            self._add(f"{site.name}.bias", delta.sum(1))

    def on_vector(self, name: str, gradient: Tensor) -> None:
        self._add(name, gradient)

    def on_lookup(self, site: Embedding, indices: Tensor, delta: Tensor) -> None:
        one_hot = torch.nn.functional.one_hot(indices, site.sizes[0]).to(delta.dtype)
        self._add(f"{site.name}.weight", torch.einsum("bto,bti->boi", one_hot, delta))

    def on_tokens(self, site: Site, x: Tensor, delta: Tensor, parts: Sequence[tuple[int, slice]]) -> None:
        outputs, inputs = site.sizes
        weight, bias = delta.new_zeros(self.rows, outputs, inputs), delta.new_zeros(self.rows, outputs)
        for row, part in parts:
            weight[row], bias[row] = delta[part].T @ x[part].to(delta.dtype), delta[part].sum(0)
        self._add(f"{site.name}.weight", weight)
        if site.has_bias:
            self._add(f"{site.name}.bias", bias)

    def _add(self, name: str, gradient: Tensor) -> None:
        self.gradients[name] = self.gradients.get(name, 0) + gradient


def collected(engine: GradientEngine, samples: list[Sample]) -> dict[str, Tensor]:
    """Whole gradients [samples, …] of every tapped parameter, through the engine's own passes."""
    total: dict[str, Tensor] = {}

    def work(groups: Sequence[Sequence[Row]]) -> None:
        batch = collate(groups, engine.device, engine.dtype)
        sink = Collector(len(batch.samples))
        engine.backward(batch, sink)
        for name, gradient in sink.gradients.items():
            if name not in total:
                total[name] = gradient.new_zeros(len(samples), *gradient.shape[1:])
            total[name].index_add_(0, batch.samples, gradient)

    engine.over_batches(engine.rows(samples), work)
    return total
