"""A key-value cache of rows that come and go, and the attention that reads it.

Every running completion has a row; its token at position t is in column t, so rows of different lengths share a batch
without padding tokens: columns beyond a row's length are masked. Rows 0..R−1 are the running ones; a later completion
takes the row of one that ends.

R running rows, S columns, H query heads, K key-value heads, D head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from learnalign.errors import RunError

ATTENTION = "learnalign_slots"
STEP = 64  # columns grow in multiples of this
ALIGNED = 16  # columns are read in multiples of this, as attention on a GPU wants its mask

KeysValues = list[tuple[Tensor, Tensor]]  # of every layer, [rows, K, columns, D]


def keys_values(cache: Cache) -> KeysValues:
    """The tensors of an ordinary cache after a forward pass."""
    return [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[union-attr, misc]


class SlotCache(Cache):
    """A cache of `rows` rows for the model whose forward pass returned `like`."""

    def __init__(self, rows: int, like: KeysValues) -> None:
        super().__init__(layers=[])
        self._slots: KeysValues = [(_rows_like(keys, rows), _rows_like(values, rows)) for keys, values in like]
        self._columns = STEP
        self._positions = self._running = torch.empty(0, dtype=torch.long)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store one new token of every running row at its position; returns the columns in use."""
        keys, values = self._slots[layer_idx]
        keys[self._running, :, self._positions] = key_states[:, :, 0]
        values[self._running, :, self._positions] = value_states[:, :, 0]
        count = len(self._running)
        return keys[:count, :, : self._columns], values[:count, :, : self._columns]

    def fill(self, rows: Int[Tensor, " R"], source: Int[Tensor, " R"], prefilled: KeysValues) -> None:
        """Copy rows `source` of `prefilled` into `rows`."""
        length = prefilled[0][0].shape[2]
        self._reach(length)
        for slot, new in zip(self._slots, prefilled, strict=True):
            for target, tensor in zip(slot, new, strict=True):
                target[rows, :, :length] = tensor[source]

    def move(self, source: Int[Tensor, " R"], target: Int[Tensor, " R"], columns: int) -> None:
        """Copy the first `columns` columns of rows `source` over rows `target`."""
        for slot in self._slots:
            for tensor in slot:
                tensor[target, :, :columns] = tensor[source, :, :columns]

    def prepare(self, positions: Int[Tensor, " R"], longest: int) -> Float[Tensor, "R 1 1 S"]:
        """Set the position of each running row's next token; returns the additive mask over the columns in use."""
        self._reach(longest + 1)
        keys = self._slots[0][0]
        self._positions, self._running = positions, torch.arange(len(positions), device=keys.device)
        self._columns = -(-(longest + 1) // ALIGNED) * ALIGNED
        hidden = torch.arange(self._columns, device=keys.device) > positions.unsqueeze(1)
        mask = torch.zeros(hidden.shape, dtype=keys.dtype, device=keys.device).masked_fill_(hidden, -torch.inf)
        return mask[:, None, None, :]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._columns - 1

    def _reach(self, columns: int) -> None:
        """Make room for `columns` columns; grow by a quarter at least, so that growing stays rare."""
        present = self._slots[0][0].shape[2]
        if columns > present:
            columns = -(-max(columns, present + present // 4) // STEP) * STEP
            for i, (keys, values) in enumerate(self._slots):  # layer by layer: old and new of one layer at a time
                self._slots[i] = (_grown(keys, columns), _grown(values, columns))


def _rows_like(tensor: Tensor, rows: int) -> Tensor:
    return tensor.new_zeros(rows, tensor.shape[1], STEP, tensor.shape[3])


def _grown(tensor: Tensor, columns: int) -> Tensor:
    new = tensor.new_zeros(*tensor.shape[:2], columns, tensor.shape[3])
    new[:, :, : tensor.shape[2]] = tensor
    return new


def attention(
    module: nn.Module,
    query: Float[Tensor, "R H T D"],
    key: Float[Tensor, "R K S D"],
    value: Float[Tensor, "R K S E"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "R T H E"], None]:
    """Attention for transformers' models: for a decoded token, one product serves all query heads of a key-value head.

    It reads keys and values once for all of them and copies none; repeating them per query head would. Like transformers'
    own "sdpa", it ignores a soft cap.
    """
    if kwargs.get("s_aux") is not None:
        raise RunError("this model's attention has sinks, which rollout.engine: transformers cannot compute; use vllm")
    if query.shape[2] > 1 or kwargs.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    rows, heads, _, width = query.shape
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    out = nn.functional.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(rows, 1, heads, value.shape[3]), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)


@contextmanager
def slot_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, `model` has the attention that reads a SlotCache."""
    own = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(own)
