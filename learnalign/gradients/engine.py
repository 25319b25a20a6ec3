"""The per-sample GRPO gradient engine, without a run directory: samples in, projected gradients out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from learnalign.errors import RunError
from learnalign.gradients.batching import Batch, Row, collate, plan, rows_of
from learnalign.gradients.grpo import Sample
from learnalign.gradients.kronecker import Kronecker
from learnalign.gradients.logprobs import hidden_gradient, token_log_probs
from learnalign.gradients.models import check_head, head_of, is_adapted, run_backbone
from learnalign.gradients.sites import Sink, find_sites, tapped

# ruff: noqa: F722, RUF100

CPU_BATCH_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class GradientSettings:
    """What decides a feature, and the token budget of a batch, which does not."""

    seed: int = 0
    beta: float = 0.04
    temperature: float = 1.0
    modules: str = "linear"
    dim: int = 8192
    width: int = 128
    batch_tokens: int | Literal["auto"] = "auto"


class GradientEngine:
    """Features of samples under a policy; `reference` is π_ref where β > 0 (a PEFT policy with its adapter off needs none)."""

    def __init__(self, policy: nn.Module, settings: GradientSettings, reference: nn.Module | None = None) -> None:
        if settings.beta > 0 and reference is None and not is_adapted(policy):
            raise RunError("β > 0 needs a reference model; give one or set grad.beta to 0")
        self.policy = policy.eval().requires_grad_(False)
        self.reference = reference
        self.settings = settings
        check_head(policy)
        self.head = head_of(policy)
        self.device = self.head.weight.device
        self.dtype = torch.promote_types(self.head.weight.dtype, torch.float32)
        self.sites = find_sites(policy, settings.modules)
        self.budget = CPU_BATCH_TOKENS if settings.batch_tokens == "auto" else settings.batch_tokens
        self._kronecker = Kronecker(self.sites, dim=settings.dim, width=settings.width, seed=settings.seed)

    def features(self, samples: Sequence[Sample]) -> Float[Tensor, "samples dim"]:
        """φ of every sample, not normalised, in float32 on the policy's device; all zeros where a sample has no completion."""
        features = torch.zeros(len(samples), self.settings.dim, device=self.device, dtype=self.dtype)

        def add(rows: Sequence[Row]) -> None:
            batch = collate(rows, self.device, self.dtype)
            self._kronecker.begin(len(rows), self.device, self.dtype)
            self.backward(batch, self._kronecker)
            features.index_add_(0, batch.samples, self._kronecker.features)

        self.over_batches([[row] for row in rows_of(samples)], add)
        return features

    def over_batches(self, groups: Sequence[Sequence[Row]], work: Callable[[Sequence[Row]], None]) -> None:
        """Call `work` on batches of whole groups within the token budget; out of memory halves the budget and the batch."""
        waiting = plan(groups, self.budget)[::-1]
        while waiting:
            rows = waiting.pop()
            try:
                work(rows)
                continue
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
            torch.cuda.empty_cache()
            self.budget = max(1, self.budget // 2)
            waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]

    def backward(self, batch: Batch, sink: Sink) -> None:
        """Run a batch forward, and backward as far as the lowest site, feeding `sink`."""
        reference = self._reference_log_probs(batch)
        with torch.enable_grad(), tapped(self.sites, sink):
            hidden = run_backbone(self.policy, batch.token_ids)
        flat = hidden.detach().flatten(0, 1)
        gradient = torch.zeros_like(flat)
        gradient[batch.positions] = hidden_gradient(
            flat[batch.positions],
            batch.targets,
            batch.advantage,
            batch.weight,
            reference,
            self.head,
            temperature=self.settings.temperature,
            beta=self.settings.beta,
        )
        torch.autograd.backward(hidden, gradient.view_as(hidden))

    def _reference_log_probs(self, batch: Batch) -> Tensor | None:
        if self.settings.beta == 0:
            return None
        with torch.no_grad(), self._reference_model() as model:
            hidden = run_backbone(model, batch.token_ids).flatten(0, 1)[batch.positions]
            return token_log_probs(hidden, batch.targets, head_of(model), self.settings.temperature)

    @contextlib.contextmanager
    def _reference_model(self) -> Iterator[nn.Module]:
        if self.reference is not None:
            yield self.reference
            return
        with self.policy.disable_adapter():  # type: ignore[operator]
            yield self.policy
        self.policy.requires_grad_(False)  # PEFT makes the adapter trainable when it switches it on again
