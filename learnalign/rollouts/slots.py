"""A key-value cache of rows that come and go, and the attention that reads it.

Every running sample has a row; its token at position t lies in column t, so that rows of different lengths share a batch
without padding tokens: what lies right of a row's length is masked. Rows 0..R−1 are the running ones; the row of a sample
that ends is filled by a later one.

R running rows, S columns, H query heads, K key-value heads, D head width.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "learnalign_slots"
STEP = 64  # columns grow and are read in multiples of this: few shapes, aligned masks
_SPECIAL = ("softcap", "s_aux", "position_bias")


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, [rows, K, columns, D]."""

    def __init__(self, rows: int, like: CacheLayerMixin) -> None:
        super().__init__()
        assert like.keys is not None
        assert like.values is not None
        self.keys = like.keys.new_zeros(rows, like.keys.shape[1], STEP, like.keys.shape[3])
        self.values = like.values.new_zeros(rows, like.values.shape[1], STEP, like.values.shape[3])
        self.is_initialized = True
        self.positions: Tensor = torch.empty(0)
        self.columns = STEP

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Store one new token of every running row at its position; returns all columns in use."""
        running = torch.arange(len(self.positions), device=self.keys.device)
        self.keys[running, :, self.positions] = key_states[:, :, 0]
        self.values[running, :, self.positions] = value_states[:, :, 0]
        return self.keys[: len(running), :, : self.columns], self.values[: len(running), :, : self.columns]

    def grow(self, columns: int) -> None:
        """Make room for `columns` columns."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros(*old.shape[:2], columns, old.shape[3])
            new[:, :, : old.shape[2]] = old
            setattr(self, name, new)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is lazy here."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.columns, 0

    def get_seq_length(self) -> int:
        return self.columns - 1

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """The layers of a model, with `rows` rows each; made from the cache of any forward pass of that model."""

    def __init__(self, rows: int, like: Cache) -> None:
        self.slots = [SlotLayer(rows, layer) for layer in like.layers]
        super().__init__(layers=self.slots)

    def fill(self, rows: Int[Tensor, " R"], source: Int[Tensor, " R"], prefilled: Cache) -> None:
        """Put rows `source` of `prefilled` into `rows`."""
        for slot, layer in zip(self.slots, prefilled.layers, strict=True):
            length = layer.keys.shape[2]
            self._reach(slot, length)
            slot.keys[rows, :, :length] = layer.keys[source]
            slot.values[rows, :, :length] = layer.values[source]

    def move(self, source: Int[Tensor, " R"], target: Int[Tensor, " R"], columns: int) -> None:
        """Copy the first `columns` columns of rows `source` over rows `target`."""
        for slot in self.slots:
            slot.keys[target, :, :columns] = slot.keys[source, :, :columns]
            slot.values[target, :, :columns] = slot.values[source, :, :columns]

    def prepare(self, positions: Int[Tensor, " R"], longest: int) -> Float[Tensor, "R 1 1 S"]:
        """Announce where each running row's next token goes; returns the additive mask over the columns in use."""
        for slot in self.slots:
            self._reach(slot, longest + 1)
            slot.positions = positions
            slot.columns = min(-(-(longest + 1) // STEP) * STEP, slot.keys.shape[2])
        keys, columns = self.slots[0].keys, self.slots[0].columns
        hidden = torch.arange(columns, device=keys.device) > positions.unsqueeze(1)
        mask = torch.zeros(hidden.shape, dtype=keys.dtype, device=keys.device).masked_fill_(hidden, -torch.inf)
        return mask[:, None, None, :]

    @staticmethod
    def _reach(slot: SlotLayer, columns: int) -> None:
        if columns > (there := slot.keys.shape[2]):
            slot.grow(-(-max(columns, there + there // 4) // STEP) * STEP)


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
    """Attention for transformers' models: of a decoded token, all query heads of a key-value head are one matrix product.

    Keys and values are then read once for all of them and never copied, as repeating them per query head would.
    """
    if query.shape[2] > 1 or any(kwargs.get(name) is not None for name in _SPECIAL):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    rows, heads, _, width = query.shape
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    out = nn.functional.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(rows, 1, heads, value.shape[3]), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)
