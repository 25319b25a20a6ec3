"""The per-sample GRPO gradient engine, without a run directory: samples in, projected gradients out."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from learnalign.errors import RunError
from learnalign.gradients.capture.attention import CpuAttention
from learnalign.gradients.capture.batching import Batch, Row, collate, pack, padded_tokens, rows_of
from learnalign.gradients.capture.budget import Budget, does_not_fit
from learnalign.gradients.capture.choice import find_sites
from learnalign.gradients.capture.sharing import Sharing, tree_inputs
from learnalign.gradients.capture.sites import Sink, Sites, TokenSink, tapped
from learnalign.gradients.grpo import Sample
from learnalign.gradients.logprobs import HeadSink, hidden_gradient, token_log_probs
from learnalign.gradients.projections.dense import Dense
from learnalign.gradients.projections.kronecker import Kronecker
from learnalign.policy.memory import work_through
from learnalign.policy.parts import check_adapter, check_head, head_of, is_adapted, last_hidden
from learnalign.progress import Advance, unseen

Groups = Sequence[Sequence[Row]]  # of a batch: the rows of one sample, or one row, each
Work = Callable[[Groups], None]

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


class GradientEngine:
    """Gradients of samples under `policy`.

    `reference` is π_ref, needed if β > 0, except with a PEFT policy: its adapter is switched off instead.
    """

    def __init__(self, policy: nn.Module, settings: GradientSettings, reference: nn.Module | None = None) -> None:
        if settings.beta > 0 and reference is None and not is_adapted(policy):
            raise RunError("β > 0 needs a reference model: give one, or set grad.beta to 0")
        self.policy = policy.eval().requires_grad_(False)
        self.reference = reference
        self.settings = settings
        check_adapter(policy)
        check_head(policy)
        self.head = head_of(policy)
        self.device = self.head.weight.device
        self.dtype = torch.promote_types(self.head.weight.dtype, torch.float32)
        self.scale = FLOAT16_SCALE if self.head.weight.dtype == torch.float16 else 1.0
        self.sites = find_sites(policy, settings.modules)
        self.budget = Budget(settings.batch_tokens, self.device, self._bytes_per_token())
        self.sharing = Sharing(policy, reference)

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

    def rows(self, samples: Sequence[Sample]) -> list[list[Row]]:
        """The samples as rows; completions of one prompt share a row if that costs less."""
        return rows_of(samples, lambda sample: self.sharing.together(sample, self.budget.row_tokens))

    @functools.cached_property
    def _projector(self) -> Kronecker | Dense:
        settings = self.settings
        module = importlib.import_module(f"learnalign.gradients.projections.{settings.projection}")
        return module.PROJECTION(self.sites, dim=settings.dim, width=settings.width, seed=settings.seed)

    def over_rows(self, samples: Sequence[Sample], work: Work, advance: Advance = unseen) -> None:
        """`over_batches` for work that accepts the rows of a sample in several batches."""
        rows = self.rows(samples)
        share = {group[0].sample: 1 / sum(len(row.branches) for row in group) for group in rows}

        def counted(groups: Groups) -> None:
            work(groups)
            advance(sum(share[row.sample] * len(row.branches) for group in groups for row in group))

        self.over_batches([[row] for group in rows for row in group], counted, divide=True)

    def over_batches(self, groups: Groups, work: Work, divide: bool = False) -> None:
        """Call `work` on batches of whole groups within the token budget; out of memory halves the budget and the batch.

        What `work` did before it ran out of memory must not count. With `divide`, a group of one row that does not fit alone is
        divided between its completions.
        """

        def smaller(batch: Groups) -> list[Groups]:
            tokens = padded_tokens(batch)
            self.budget.halve(tokens)
            if len(batch) > 1:
                return list(pack(batch, self._batch_tokens))
            row = batch[0][0]
            if not divide or len(row.branches) == 1:
                raise RunError(does_not_fit(tokens))
            return [[[half]] for half in row.halves()]

        def measured(batch: Groups) -> None:
            self.budget.measured(padded_tokens(batch), lambda: work(batch))

        work_through(pack(groups, self._batch_tokens), measured, smaller)

    def _batch_tokens(self) -> int:
        return self.budget.tokens or 1  # before a GPU is measured: the longest group alone

    def _bytes_per_token(self) -> int:
        """A rough upper estimate of the memory of a token's forward and backward pass: twice the layers' inputs and outputs."""
        widths = [sum(site.sizes) for site in self.sites.linear] + [site.weight.numel() for site in self.sites.norms]
        last = self.head.weight.shape[1]  # the hidden state below the head
        return 2 * (last + sum(widths)) * self.head.weight.element_size()

    def backward(self, batch: Batch, sink: Sink, sites: Sites | None = None) -> Callable[[TokenSink], None]:
        """Run a batch forward, and backward down to the lowest of `sites` (default: all), feeding gradients times `scale` to `sink`.

        Returns a function that feeds the output head's part again, to another sink.
        """
        sites = self.sites if sites is None else sites
        reference = self._reference_log_probs(batch)
        with torch.enable_grad(), CpuAttention(), tapped(sites, sink, len(batch.token_ids)):
            hidden = self._run(self.policy, batch)
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

    def _run(self, model: nn.Module, batch: Batch) -> Float[Tensor, "B T D"]:
        tree = () if batch.branches is None else tree_inputs(batch.branches, head_of(model).weight.dtype)
        return last_hidden(model, batch.token_ids, *tree)

    def _reference_log_probs(self, batch: Batch) -> Tensor | None:
        if self.settings.beta == 0:
            return None
        with torch.no_grad(), self._reference_model() as model:
            hidden = self._run(model, batch).flatten(0, 1)[batch.positions]
            return token_log_probs(hidden, batch.targets, head_of(model), self.settings.temperature)

    @contextlib.contextmanager
    def _reference_model(self) -> Iterator[nn.Module]:
        if self.reference is not None:
            yield self.reference
            return
        with self.policy.disable_adapter():  # type: ignore[operator]
            yield self.policy
        self.policy.requires_grad_(False)  # PEFT makes an adapter trainable when it switches it on again


def _head_sink(batch: Batch, sites: Sites, sink: TokenSink) -> HeadSink | None:
    site = sites.head
    if site is None:
        return None
    return lambda chunk, hidden, delta: sink.on_tokens(site, hidden, delta, batch.parts(chunk))
