"""Prefill: each prompt passes through the model once, and the prefix that all prompts share once for all of them.

N prompts, L tokens of the longest, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel

from learnalign.rollouts.engines.slots import KeysValues, keys_values


def common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The longest prefix that all prompts share; it leaves at least one token of each."""
    lists = [list(prompt) for prompt in prompts]
    first, last = min(lists), max(lists)
    limit = min(len(prompt) for prompt in prompts) - 1
    length = next((i for i in range(limit) if first[i] != last[i]), limit)
    return first[:length]


class Prefill:
    """Runs prompts that begin with `prefix` through `model`; the prefix itself runs only once."""

    def __init__(self, model: PreTrainedModel, prefix: Sequence[int]) -> None:
        self._model = model
        self._prefix_length = len(prefix)
        self._prefix: Cache | None = None
        if prefix:
            self._prefix = DynamicCache()
            self._forward([prefix], self._prefix, [0])

    def __call__(self, prompts: Sequence[Sequence[int]]) -> tuple[Float[Tensor, "N V"], KeysValues]:
        """Logits of the token after each prompt, and all keys and values; entries beyond a prompt's length are undefined."""
        cache = DynamicCache()
        if self._prefix is not None:
            shape = (len(prompts), -1, -1, -1)
            for i, (keys, values) in enumerate(keys_values(self._prefix)):
                cache.update(keys.expand(shape), values.expand(shape), i)
        rests = [prompt[self._prefix_length :] for prompt in prompts]
        logits = self._forward(rests, cache, [len(rest) - 1 for rest in rests])
        return logits, keys_values(cache)

    def _forward(self, rows: Sequence[Sequence[int]], cache: Cache, last: Sequence[int]) -> Float[Tensor, "N V"]:
        device = self._model.device
        start, length = cache.get_seq_length(), max(len(row) for row in rows)
        tokens = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], device=device)
        positions = torch.arange(start, start + length, device=device)
        seen = torch.arange(start + length, device=device) <= positions.unsqueeze(1) if start else None
        with _logits_at(self._model, torch.tensor(last, device=device)):
            return self._model(
                input_ids=tokens,
                position_ids=positions.expand(len(rows), -1),
                attention_mask=None if seen is None else seen[None, None],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, 0]


@contextmanager
def _logits_at(model: PreTrainedModel, last: Tensor) -> Iterator[None]:
    """Compute logits only at column last[n] of row n; those of whole prompts would be the largest tensor by far."""

    def select(head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *others = inputs
        return (hidden[torch.arange(len(last), device=hidden.device), last].unsqueeze(1), *others)

    handle = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
