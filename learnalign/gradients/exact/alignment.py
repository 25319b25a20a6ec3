"""Exact alignment (Eq. 8) without projection, in two passes.

Pass 1 gives every ‖g_i‖ and U = 1/n Σ_j V_j ĝ_j, one gradient-sized tensor; pass 2 gives ⟨ĝ_i, U⟩ = ‖g_i‖⁻¹ Σ_layers Σ_t δ_tᵀ U x_t,
which is sample i's alignment, mean over j of V_j cos(g_i, g_j). Letters: B rows, T positions, I and O a layer's input and output width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.errors import RunError
from learnalign.gradients.capture.batching import Block, Row, collate
from learnalign.gradients.capture.budget import does_not_fit
from learnalign.gradients.capture.sites import Site
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.grpo import Sample
from learnalign.policy.memory import work_through
from learnalign.progress import Advance, unseen

Direction = dict[str, Tensor]  # parameter name → float32 tensor of the parameter's own [O, I] or [O]


def zero_direction(engine: GradientEngine) -> Direction:
    """A U of zeros for all parameters whose gradients are taken: 4 bytes each."""
    direction: Direction = {}
    for site in engine.sites:
        direction[f"{site.name}.weight"] = torch.zeros(*site.sizes, device=engine.device, dtype=engine.dtype)
        if site.has_bias:
            direction[f"{site.name}.bias"] = torch.zeros(site.sizes[0], device=engine.device, dtype=engine.dtype)
    return direction


def accumulate(
    engine: GradientEngine,
    samples: Sequence[Sample],
    weights: Sequence[float],
    direction: Direction,
    advance: Advance = unseen,
) -> Float[Tensor, "samples"]:
    """Pass 1: norms of the samples' gradients (float64), and `direction` += Σ_i weights_i ĝ_i.

    Leaves gradients that are zero or not finite out of `direction`; their norms show which. Keeps a batch's layer inputs and output
    gradients until its norms are known, so nothing is computed twice.
    """
    norms = torch.zeros(len(samples), dtype=torch.float64, device=engine.device)
    share = torch.tensor(list(weights), dtype=torch.float64, device=engine.device)

    def work(groups: Sequence[Sequence[Row]]) -> None:
        batch, kept = collate(groups, engine.device, engine.dtype), Keeper()
        engine.backward(batch, kept)
        order = batch.group_samples
        norm = squared_norms(kept, batch.blocks).sqrt()
        factor = torch.where((norm > 0) & norm.isfinite(), share[order] / norm, 0.0).to(engine.dtype)
        per_row = torch.cat([factor[i].expand(b.stop - b.start) for i, b in enumerate(batch.blocks)])
        kept.add_to(direction, per_row)
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
        batch, sink = collate(groups, engine.device, engine.dtype), InnerProducts(direction)
        engine.backward(batch, sink)
        products.index_add_(0, batch.samples, sink.products)

    engine.over_rows(samples, work, advance)
    return products / engine.scale


class Keeper:
    """A sink that keeps a batch's layer inputs and output gradients."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[Site, Tensor, Tensor]] = {}

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Keeps no copy: layers that read the same tensor share it."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Keep both; raises RunError for a layer used twice in a pass, whose norm is not a sum over calls."""
        if site.name in self.calls:
            raise RunError(f"{site.name} is used twice in one pass; set grad.projection to kronecker for this model")
        self.calls[site.name] = (site, saved, delta)

    def add_to(self, direction: Direction, factor: Float[Tensor, "B"]) -> None:
        """direction += Σ_b factor_b ∇W_b, in the dtype of `direction`; frees the kept tensors."""
        for name in list(self.calls):
            _add(*self.calls.pop(name), factor, direction)


def _add(site: Site, x: Tensor, delta: Tensor, factor: Tensor, direction: Direction) -> None:
    """Add one layer's part. Handles out of memory itself: repeating the whole batch would add other layers twice."""
    weight = direction[f"{site.name}.weight"]

    def add(rows: slice) -> None:
        scaled = torch.nan_to_num(delta[rows].to(weight.dtype)) * factor[rows, None, None]
        inputs = torch.nan_to_num(x[rows].to(weight.dtype))
        total = scaled.sum((0, 1)) if site.has_bias else None
        weight.addmm_(scaled.flatten(0, 1).T, inputs.flatten(0, 1))
        if total is not None:
            direction[f"{site.name}.bias"] += total

    def halves(rows: slice) -> list[slice]:
        middle = (rows.start + rows.stop) // 2
        if middle == rows.start:
            raise RunError(does_not_fit(delta.shape[1]))
        return [slice(rows.start, middle), slice(middle, rows.stop)]

    work_through([slice(0, len(delta))], add, halves)


def squared_norms(kept: Keeper, blocks: Sequence[Block]) -> Float[Tensor, "blocks"]:
    """‖g‖² of every sample, in float64 over the layers."""
    layers: list[Tensor] = []
    grams: dict[int, Tensor] = {}
    owner = None
    for site, x, delta in kept.calls.values():
        if site.input_name != owner:  # layers reading the same input come in a row and share its Gram matrices
            owner, grams = site.input_name, {}
        layers.append(torch.stack([_squared_norm(site, block, x, delta, grams) for block in blocks]).double())
    return torch.stack(layers).sum(0)


def _squared_norm(site: Site, block: Block, x: Tensor, delta: Tensor, grams: dict[int, Tensor]) -> Tensor:
    """‖Σ_t δ_t x_tᵀ‖² (+ ‖Σ_t δ_t‖²): from the gradient, or from Σ_ts (x_t·x_s)(δ_t·δ_s) if that is cheaper."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    deltas, (outputs, width) = block.of(delta).to(dtype), site.sizes
    if len(deltas) * (outputs + width) < outputs * width:
        if block.start not in grams:
            inputs = block.of(x).to(dtype)
            grams[block.start] = inputs @ inputs.T
        squared = (grams[block.start] * (deltas @ deltas.T)).sum()
    else:
        squared = (deltas.T @ block.of(x).to(dtype)).square().sum()
    return squared + deltas.sum(0).square().sum() if site.has_bias else squared


class InnerProducts:
    """A sink that sums ⟨∇W_b, U⟩ of every row b over the layers."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self.products: Tensor = torch.zeros(())

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Saves the input unchanged."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Add Σ_t δ_tᵀ U x_t (+ Σ_t δ_tᵀ u of the bias)."""
        weight = self._direction[f"{site.name}.weight"]
        delta = delta.to(weight.dtype)
        products = ((delta @ weight) * saved.to(weight.dtype)).sum((1, 2))
        if site.has_bias:
            products += delta.sum(1) @ self._direction[f"{site.name}.bias"]
        self.products = self.products.to(products.device) + products.double()
