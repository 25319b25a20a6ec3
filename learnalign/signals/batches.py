"""Batches of sequences of nearly the same length. Rows are padded on the right: causal attention keeps padding out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from learnalign.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_batches(
    items: Sequence[Item], lengths: Sequence[int], budget: int, compute: Callable[[list[Item]], Sequence[Result]]
) -> list[Result]:
    """`compute` on batches of at most `budget` tokens, padding included; results in the order of `items`.

    A batch that does not fit the GPU's memory is halved; raises RunError where a single item does not.
    """
    results: dict[int, Result] = {}
    for batch in plan(lengths, budget):
        for part, found in _halving([items[i] for i in batch], batch, compute):
            results.update(zip(part, found, strict=True))
    return [results[i] for i in range(len(items))]


def plan(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in batches, longest first; an item above the budget is a batch of its own."""
    batches: list[list[int]] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
            longest = lengths[i]
    return batches


def _halving(
    items: list[Item], indices: list[int], compute: Callable[[list[Item]], Sequence[Result]]
) -> list[tuple[list[int], Sequence[Result]]]:
    try:
        return [(indices, compute(items))]
    except torch.OutOfMemoryError:
        if len(items) == 1:
            raise RunError(
                "a single prompt does not fit the GPU's memory; leave out long ones (data.max_prompt_tokens), or use a "
                "smaller model.dtype"
            ) from None
    torch.cuda.empty_cache()
    half = len(items) // 2
    return _halving(items[:half], indices[:half], compute) + _halving(items[half:], indices[half:], compute)


def pad(sequences: Sequence[Sequence[int]], device: torch.device) -> Int[Tensor, "B T"]:
    """Token ids [B, T], zeros after each row's end."""
    token_ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.int64)
    for row, sequence in zip(token_ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return token_ids.to(device)
