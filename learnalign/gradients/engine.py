"""The per-sample GRPO gradient engine, without a run directory: samples in, projected gradients out."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from learnalign.errors import RunError
from learnalign.gradients.capture.attention import CpuAttention
from learnalign.gradients.capture.batching import Batch, collate
from learnalign.gradients.capture.choice import find_sites
from learnalign.gradients.capture.sites import Sink, Sites, TokenSink, tapped
from learnalign.gradients.grpo import Sample
from learnalign.gradients.logprobs import HeadSink, hidden_gradient
from learnalign.gradients.passes import Groups, Passes
from learnalign.gradients.projections.dense import Dense
from learnalign.gradients.projections.kronecker import Kronecker
from learnalign.policy.parts import check_adapter, check_head, head_of
from learnalign.progress import Advance, unseen

FLOAT16_SCALE = 4096.0  # keeps gradients of long completions above float16's smallest number


@dataclass(frozen=True, kw_only=True)
class GradientSettings:
    """The settings that decide a feature, and the token budget of a batch, which does not."""

    seed: int = 0
    beta: float = 0.04
    temperature: float = 1.0
    modules: str = "all"
    projection: str = "kronecker"
    dim: int = 8192
    width: int = 160
    batch_tokens: int | Literal["auto"] = "auto"


class GradientEngine(Passes):
    """Gradients of samples under `policy`; if β > 0, of samples that have log π_ref of their tokens."""

    def __init__(self, policy: nn.Module, settings: GradientSettings) -> None:
        policy.eval().requires_grad_(False)
        check_adapter(policy)
        check_head(policy)
        self.sites = find_sites(policy, settings.modules)
        super().__init__(policy, settings.batch_tokens, self._bytes_per_token(head_of(policy)))
        self.settings = settings
        self.scale = FLOAT16_SCALE if self.head.weight.dtype == torch.float16 else 1.0

    def features(self, samples: Sequence[Sample], advance: Advance = unseen) -> Float[Tensor, "samples dim"]:
        """φ of every sample, not normalised, on the policy's device, in float32 (float64 for a float64 model).

        All zeros if a sample has no tokens. Returns without waiting for a GPU; reading the result waits. Calls `advance` as samples
        get done.
        """
        projector = self._projector
        features = torch.zeros(len(samples), self.settings.dim, device=self.device, dtype=self.dtype)

        def add(groups: Groups) -> None:
            batch = collate(groups, self.device, self.dtype)
            projector.begin(len(batch.token_ids), self.device, self.dtype)
            self.backward(batch, projector)
            features.index_add_(0, batch.samples, projector.features, alpha=1 / self.scale)

        self.over_rows(samples, add, advance)
        return features

    @functools.cached_property
    def _projector(self) -> Kronecker | Dense:
        settings = self.settings
        module = importlib.import_module(f"learnalign.gradients.projections.{settings.projection}")
        return module.PROJECTION(self.sites, dim=settings.dim, width=settings.width, seed=settings.seed)

    def _bytes_per_token(self, head: nn.Linear) -> int:
        """A rough upper estimate of the memory of a token's forward and backward pass: twice the layers' inputs and outputs."""
        widths = [sum(site.sizes) for site in self.sites.linear] + [site.weight.numel() for site in self.sites.norms]
        last = head.weight.shape[1]  # the hidden state below the head
        return 2 * (last + sum(widths)) * head.weight.element_size()

    def backward(self, batch: Batch, sink: Sink, sites: Sites | None = None) -> Callable[[TokenSink], None]:
        """Run a batch forward, and backward down to the lowest of `sites` (default: all), feeding gradients times `scale` to `sink`.

        Returns a function that feeds the output head's part again, to another sink.
        """
        sites = self.sites if sites is None else sites
        reference = self._reference(batch)
        attention = CpuAttention() if self.device.type == "cpu" else contextlib.nullcontext()
        with torch.enable_grad(), attention, tapped(sites, sink, len(batch.token_ids)):
            hidden = self.hidden(batch)
        flat = hidden.detach().flatten(0, 1)

        def head(sink: TokenSink) -> Float[Tensor, "N D"]:
            return hidden_gradient(
                flat[batch.positions],
                batch.targets,
                batch.advantage,
                batch.weight * self.scale,
                reference,
                self.head,
                temperature=self.settings.temperature,
                beta=self.settings.beta,
                head_sink=_head_sink(batch, sites, sink),
            )

        gradient = torch.zeros_like(flat)
        gradient.index_add_(0, batch.positions, head(sink))  # in a tree, a position may predict several tokens
        if hidden.requires_grad:  # not if the head alone is chosen
            torch.autograd.backward(hidden, gradient.view_as(hidden))

        def again(other: TokenSink) -> None:
            head(other)

        return again

    def _reference(self, batch: Batch) -> Float[Tensor, "N"] | None:
        if self.settings.beta == 0:
            return None
        if batch.reference is None:
            raise RunError(
                "β > 0 needs the reference's log-probability of every token: give the samples of "
                "`with_reference(samples, LogProbs(model).of(samples))`, or set grad.beta to 0"
            )
        return batch.reference


def _head_sink(batch: Batch, sites: Sites, sink: TokenSink) -> HeadSink | None:
    site = sites.head
    if site is None:
        return None
    return lambda chunk, hidden, delta: sink.on_tokens(site, hidden, delta, batch.parts(chunk))
