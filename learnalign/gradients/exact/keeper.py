"""Pass 1's sink: keeps what a batch's gradients are made of until their norms are known, then adds them to U.

Letters: B rows, T positions, N completion tokens, I and O a layer's input and output width, D an embedding's, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.errors import RunError
from learnalign.gradients.capture.batching import Batch
from learnalign.gradients.capture.budget import does_not_fit
from learnalign.gradients.capture.sites import Embedding, Site
from learnalign.policy.memory import work_through

WHOLE_ENTRIES = {"cpu": 1 << 22, "cuda": 1 << 27}  # of whole gradients at a time, float32: 16 MB and 512 MB
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
        blocks = _Blocks(self.batch)
        total = self._head.finish()
        gram: Tensor | None = None
        owner = None
        for site, x, delta in self.calls.values():
            if site.input_name != owner:  # layers reading the same input come in a row and share its Gram matrices
                owner, gram = site.input_name, None
            squares, gram = _squared_norms(site, blocks, x, delta, gram)
            total += squares.double()
        for gradient in self.vectors.values():
            total += blocks.sums(gradient).square().sum(1).double()
        for name, (indices, delta) in self.lookups.items():
            owners, rows = blocks.looked_up(indices, delta)
            squares = rows.square().sum(1)
            if name == self._head.name:  # ‖H + E‖² of a head H with the same weight, which total has the square of
                squares += 2 * (self._head.own_rows() * rows).sum(1)
            total.index_add_(0, owners, squares.double())
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


class _Blocks:
    """The samples of a batch side by side: S samples, each with P positions, of which some are padding."""

    def __init__(self, batch: Batch) -> None:
        device, blocks = batch.token_ids.device, batch.blocks
        rows = torch.tensor([block.stop - block.start for block in blocks], device=device)
        self._count = len(blocks)
        self._of_row = torch.arange(len(blocks), device=device).repeat_interleave(
            rows, output_size=len(batch.token_ids)
        )
        starts = rows.cumsum(0) - rows
        self._most = max(block.stop - block.start for block in blocks)
        self._within = torch.arange(len(batch.token_ids), device=device) - starts[self._of_row]

    def side_by_side(self, values: Float[Tensor, "B T D"]) -> Float[Tensor, "S P D"]:
        """Every sample's rows one after another; rows that a sample does not have are zero."""
        if self._most == 1:
            return values
        placed = values.new_zeros(self._count, self._most, *values.shape[1:])
        placed[self._of_row, self._within] = values
        return placed.flatten(1, 2)

    def sums(self, values: Float[Tensor, "B D"]) -> Float[Tensor, "S D"]:
        """The sum over every sample's rows."""
        return values.new_zeros(self._count, values.shape[1]).index_add_(0, self._of_row, values)

    def looked_up(
        self, indices: Int[Tensor, "B T"], delta: Float[Tensor, "B T D"]
    ) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows D"]]:
        """The samples' gradients of an embedding: the rows of each sample's different tokens in ascending order, and the sample of each."""
        size = indices.max() + 1
        keys, places = (self._of_row.unsqueeze(1) * size + indices).unique(return_inverse=True)
        values = delta.flatten(0, 1).to(torch.promote_types(delta.dtype, torch.float32))
        return keys // size, values.new_zeros(len(keys), values.shape[1]).index_add_(0, places.flatten(), values)


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

    def own_rows(self) -> Float[Tensor, "rows D"]:
        """The rows of every sample's different tokens in ascending order, as those of an embedding."""
        return torch.cat([self._rows[block] for block in range(len(self._batch.blocks))])


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


def _squared_norms(
    site: Site, blocks: _Blocks, x: Tensor, delta: Tensor, gram: Tensor | None
) -> tuple[Float[Tensor, "S"], Tensor | None]:
    """‖Σ_t δ_t x_tᵀ‖² (+ ‖Σ_t δ_t‖²) of every sample, and the inputs' Gram matrices [S, P, P], if they were of use or are given.

    From the gradients, or from Σ_ts (x_t·x_s)(δ_t·δ_s) if that is cheaper; δ of padding is zero.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    deltas, (outputs, width) = blocks.side_by_side(delta).to(dtype), site.sizes
    if deltas.shape[1] * (outputs + width) < outputs * width:
        if gram is None:
            inputs = blocks.side_by_side(x).to(dtype)
            gram = inputs @ inputs.mT
        squares = (gram @ deltas).mul_(deltas).sum((1, 2))
    else:
        inputs = blocks.side_by_side(x).to(dtype)
        each = max(1, WHOLE_ENTRIES.get(x.device.type, WHOLE_ENTRIES["cuda"]) // (outputs * width))
        parts = zip(deltas.split(each), inputs.split(each), strict=True)
        squares = torch.cat([(d.mT @ i).square_().sum((1, 2)) for d, i in parts])
    if site.has_bias:
        squares = squares + deltas.sum(1).square().sum(1)
    return squares, gram
