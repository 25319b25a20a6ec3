"""Exact alignment (Eq. 8) without projection, in two passes.

Pass 1 gives every ‖g_i‖ and U = 1/n Σ_j V_j ĝ_j, one gradient-sized tensor; pass 2 gives ⟨ĝ_i, U⟩ = ‖g_i‖⁻¹ Σ_layers Σ_t δ_tᵀ U x_t,
which is sample i's alignment, mean over j of V_j cos(g_i, g_j).
Letters: B rows, T positions, N completion tokens, I and O a layer's input and output width, D an embedding's, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.errors import RunError
from learnalign.gradients.capture.batching import Batch, Row, collate
from learnalign.gradients.capture.budget import does_not_fit
from learnalign.gradients.capture.sites import Embedding, Site
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.exact.keeper import Direction, Keeper
from learnalign.gradients.grpo import Sample
from learnalign.policy.memory import work_through
from learnalign.progress import Advance, unseen


def zero_direction(engine: GradientEngine) -> Direction:
    """A U of zeros for all parameters whose gradients are taken: 4 bytes each."""
    shapes = engine.sites.shapes()
    return {name: torch.zeros(shape, device=engine.device, dtype=engine.dtype) for name, shape in shapes.items()}


def accumulate(
    engine: GradientEngine,
    samples: Sequence[Sample],
    weights: Sequence[float],
    direction: Direction,
    advance: Advance = unseen,
) -> Float[Tensor, "samples"]:
    """Pass 1: norms of the samples' gradients (float64), and `direction` += Σ_i weights_i ĝ_i.

    Leaves gradients that are zero or not finite out of `direction`; their norms show which. Keeps a batch's layer inputs and output
    gradients until its norms are known, so that only the output head's part is computed twice.
    """
    norms = torch.zeros(len(samples), dtype=torch.float64, device=engine.device)
    share = torch.tensor(list(weights), dtype=torch.float64, device=engine.device)

    def work(groups: Sequence[Sequence[Row]]) -> None:
        batch = collate(groups, engine.device, engine.dtype)
        kept = Keeper(batch)
        head_again = engine.backward(batch, kept)
        order = batch.group_samples
        norm = kept.squared_norms().sqrt()
        factor = torch.where((norm > 0) & norm.isfinite(), share[order] / norm, 0.0).to(engine.dtype)
        per_row = torch.cat([factor[i].expand(b.stop - b.start) for i, b in enumerate(batch.blocks)])
        kept.add_to(direction, per_row)
        if engine.sites.head:
            _once(lambda: head_again(_HeadSum(direction, per_row)), batch)
        norms[order] = norm
        advance(len(groups))

    engine.over_batches(engine.rows(samples), work)
    return norms / engine.scale


def inner_products(
    engine: GradientEngine, samples: Sequence[Sample], direction: Direction, advance: Advance = unseen
) -> Float[Tensor, "samples"]:
    """Pass 2: ⟨g_i, U⟩ of every sample, not yet divided by its norm (float64)."""
    products = torch.zeros(len(samples), dtype=torch.float64, device=engine.device)

    def work(groups: Sequence[Sequence[Row]]) -> None:
        batch = collate(groups, engine.device, engine.dtype)
        sink = InnerProducts(direction, torch.zeros(len(batch.samples), dtype=torch.float64, device=engine.device))
        engine.backward(batch, sink)
        products.index_add_(0, batch.samples, sink.products)

    engine.over_rows(samples, work, advance)
    return products / engine.scale


def _once(work: Callable[[], None], batch: Batch) -> None:
    """`work`, which cannot be repeated if memory runs out."""

    def fail(_: None) -> list[None]:
        raise RunError(does_not_fit(batch.token_ids.shape[1]))

    work_through([None], lambda _: work(), fail)


class _HeadSum:
    """A sink of the output head alone: direction += Σ_b factor_b ∇W_b."""

    def __init__(self, direction: Direction, factor: Float[Tensor, "B"]) -> None:
        self._direction, self._factor = direction, factor

    def on_tokens(
        self, site: Site, x: Float[Tensor, "N I"], delta: Float[Tensor, "N O"], parts: Sequence[tuple[int, slice]]
    ) -> None:
        """Add the head's gradient of these tokens."""
        counts = torch.tensor([part.stop - part.start for _, part in parts], device=delta.device)
        factor = self._factor[[row for row, _ in parts]].repeat_interleave(counts)
        scaled = torch.nan_to_num(delta) * factor.unsqueeze(1).to(delta.dtype)
        self._direction[f"{site.name}.weight"].addmm_(scaled.T, torch.nan_to_num(x.to(delta.dtype)))


class InnerProducts:
    """A sink that adds ⟨∇_b, U⟩ of every row b to `products`."""

    def __init__(self, direction: Direction, products: Float[Tensor, "B"]) -> None:
        self._direction, self.products = direction, products

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Saves the input unchanged."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Add Σ_t δ_tᵀ U x_t (+ Σ_t δ_tᵀ u of the bias)."""
        weight = self._direction[f"{site.name}.weight"]
        delta = delta.to(weight.dtype)
        self.products += ((delta @ weight) * saved.to(weight.dtype)).sum((1, 2))
        if site.has_bias:
            self.products += delta.sum(1) @ self._direction[f"{site.name}.bias"]

    def on_vector(self, name: str, gradient: Float[Tensor, "B P"]) -> None:
        """Add a norm's part."""
        direction = self._direction[name].flatten()
        self.products += gradient.to(direction.dtype) @ direction

    def on_lookup(self, site: Embedding, indices: Int[Tensor, "B T"], delta: Float[Tensor, "B T D"]) -> None:
        """Add Σ_t δ_tᵀ U_t, with U_t the row of token t."""
        weight = self._direction[f"{site.name}.weight"]
        self.products += (delta.to(weight.dtype) * weight[indices]).sum((1, 2))

    def on_tokens(
        self,
        site: Site,
        x: Float[Tensor, "N I"],
        delta: Float[Tensor, "N O"],
        parts: Sequence[tuple[int, slice]],
    ) -> None:
        """Add the head's part of these tokens."""
        weight = self._direction[f"{site.name}.weight"]
        products = ((delta @ weight) * x.to(weight.dtype)).sum(1)
        if site.has_bias:
            products += delta @ self._direction[f"{site.name}.bias"]
        for row, part in parts:
            self.products[row] += products[part].sum()
