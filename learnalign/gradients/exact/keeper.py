"""Pass 1's sink: keeps what a batch's gradients are made of until their norms are known, then adds them to U.

Letters: B rows, T positions, N completion tokens, I and O a layer's input and output width, D an embedding's, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.errors import RunError
from learnalign.gradients.capture.batching import Batch, Block
from learnalign.gradients.capture.budget import does_not_fit
from learnalign.gradients.capture.sites import Embedding, Site
from learnalign.policy.memory import work_through

Direction = dict[str, Tensor]  # parameter name → float32 tensor of the gradient's own shape


class Keeper:
    """A sink that keeps what a batch's gradients are made of, and adds the output head's squared norms up as its tokens come."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.calls: dict[str, tuple[Site, Tensor, Tensor]] = {}
        self.lookups: dict[str, tuple[Tensor, Tensor]] = {}
        self.vectors: dict[str, Tensor] = {}
        self._head = _HeadNorms(batch)

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Keeps no copy: layers that read the same tensor share it."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Keep both; raises RunError for a layer used twice in a pass, whose norm is not a sum over calls."""
        self._check_new(site, self.calls)
        self.calls[site.name] = (site, saved, delta)

    def on_vector(self, name: str, gradient: Float[Tensor, "B P"]) -> None:
        """Keep a norm's gradient."""
        self.vectors[name] = self.vectors[name] + gradient if name in self.vectors else gradient

    def on_lookup(self, site: Embedding, indices: Int[Tensor, "B T"], delta: Float[Tensor, "B T D"]) -> None:
        """Keep both; raises RunError for an embedding used twice in a pass."""
        self._check_new(site, self.lookups)
        self.lookups[site.name] = (indices, delta)

    def on_tokens(
        self,
        site: Site,
        x: Float[Tensor, "N I"],
        delta: Float[Tensor, "N O"],
        parts: Sequence[tuple[int, slice]],
    ) -> None:
        """Add the head's gradients up, sample by sample, and keep only their squared norms."""
        self._head.name = site.name
        for row, part in parts:
            self._head.add(row, x[part].to(delta.dtype), delta[part])
            if site.has_bias:
                gradient = delta.new_zeros(len(self.batch.samples), delta.shape[1])
                gradient[row] = delta[part].sum(0)
                self.on_vector(f"{site.name}.bias", gradient)

    def _check_new(self, site: Site, kept: Mapping[str, object]) -> None:
        if site.name in kept:
            raise RunError(f"{site.name} is used twice in one pass; set grad.projection to kronecker for this model")

    def squared_norms(self) -> Float[Tensor, "blocks"]:
        """‖g‖² of every sample, in float64 over the layers."""
        blocks = self.batch.blocks
        total = self._head.finish()
        grams: dict[int, Tensor] = {}
        owner = None
        for site, x, delta in self.calls.values():
            if site.input_name != owner:  # layers reading the same input come in a row and share its Gram matrices
                owner, grams = site.input_name, {}
            total += torch.stack([_squared_norm(site, block, x, delta, grams) for block in blocks]).double()
        for gradient in self.vectors.values():
            total += torch.stack([gradient[b.start : b.stop].sum(0).square().sum() for b in blocks]).double()
        for name, (indices, delta) in self.lookups.items():
            for i, block in enumerate(blocks):
                rows = _looked_up(block, indices, delta)
                total[i] += rows.square().sum() + (self._head.overlap(i, rows) if name == self._head.name else 0)
        return total

    def add_to(self, direction: Direction, factor: Float[Tensor, "B"]) -> None:
        """direction += Σ_b factor_b ∇_b of all but the head, in the dtype of `direction`; frees the kept tensors."""
        # All products before the first sum: a batch that runs out of memory here is repeated as a whole.
        vectors = {name: factor @ torch.nan_to_num(each.to(factor.dtype)) for name, each in self.vectors.items()}
        for name in list(self.calls):
            _add(*self.calls.pop(name), factor, direction)
        for name in list(self.lookups):
            _add_lookup(direction[f"{name}.weight"], *self.lookups.pop(name), factor)
        for name, total in vectors.items():
            direction[name] += total.view_as(direction[name])


def _looked_up(block: Block, indices: Tensor, delta: Tensor) -> Float[Tensor, "tokens D"]:
    """A sample's gradient of an embedding: the rows of its different tokens, in ascending order."""
    tokens, places = indices[block.start : block.stop].unique(return_inverse=True)
    values = delta[block.start : block.stop].flatten(0, 1).to(torch.promote_types(delta.dtype, torch.float32))
    return values.new_zeros(len(tokens), values.shape[1]).index_add_(0, places.flatten(), values)


class _HeadNorms:
    """Squared norms of the output head's gradients, of one sample after the other, whose tokens come in a row.

    Of a sample's gradient, the rows of its own tokens are kept: an embedding that shares the weight adds to these.
    """

    def __init__(self, batch: Batch) -> None:
        self.name = ""
        self._batch = batch
        self._block_of = [i for i, block in enumerate(batch.blocks) for _ in range(block.start, block.stop)]
        self._squares = torch.zeros(len(batch.blocks), dtype=torch.float64, device=batch.token_ids.device)
        self._rows: dict[int, Tensor] = {}
        self._current = -1
        self._sum: Tensor | None = None

    def add(self, row: int, x: Tensor, delta: Tensor) -> None:
        """Add tokens of a batch's row."""
        if self._block_of[row] != self._current:
            self._close()
            self._current = self._block_of[row]
            self._sum = delta.new_zeros(delta.shape[1], x.shape[1])
        assert self._sum is not None
        self._sum.addmm_(delta.T, x)

    def _close(self) -> None:
        if self._sum is not None:
            block = self._batch.blocks[self._current]
            self._squares[self._current] = self._sum.square().sum()
            self._rows[self._current] = self._sum[self._batch.token_ids[block.start : block.stop].unique()]
            self._sum = None

    def finish(self) -> Float[Tensor, "blocks"]:
        """The squared norms."""
        self._close()
        return self._squares.clone()

    def overlap(self, block: int, rows: Float[Tensor, "tokens D"]) -> Tensor:
        """2⟨H, E⟩ of a sample's head gradient H and its gradient E of an embedding with the same weight, of which `rows` are given."""
        return 2 * (self._rows[block] * rows).sum()


def _add(site: Site, x: Tensor, delta: Tensor, factor: Tensor, direction: Direction) -> None:
    """Add one layer's part."""
    weight = direction[f"{site.name}.weight"]

    def add(rows: slice) -> None:
        scaled = torch.nan_to_num(delta[rows].to(weight.dtype)) * factor[rows, None, None]
        inputs = torch.nan_to_num(x[rows].to(weight.dtype))
        total = scaled.sum((0, 1)) if site.has_bias else None
        weight.addmm_(scaled.flatten(0, 1).T, inputs.flatten(0, 1))
        if total is not None:
            direction[f"{site.name}.bias"] += total

    _by_rows(delta, add)


def _add_lookup(weight: Tensor, indices: Tensor, delta: Tensor, factor: Tensor) -> None:
    """Add an embedding's part."""

    def add(rows: slice) -> None:
        scaled = torch.nan_to_num(delta[rows].to(weight.dtype)) * factor[rows, None, None]
        weight.index_add_(0, indices[rows].flatten(), scaled.flatten(0, 1))

    _by_rows(delta, add)


def _by_rows(delta: Tensor, add: Callable[[slice], None]) -> None:
    """`add` all rows, in parts if memory runs out: repeating the whole batch would add other layers twice."""

    def halves(rows: slice) -> list[slice]:
        middle = (rows.start + rows.stop) // 2
        if middle == rows.start:
            raise RunError(does_not_fit(delta.shape[1]))
        return [slice(rows.start, middle), slice(middle, rows.stop)]

    work_through([slice(0, len(delta))], add, halves)


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
