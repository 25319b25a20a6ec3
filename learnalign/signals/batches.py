"""Batches of sequences of nearly the same length. Rows are padded on the right: causal attention keeps padding out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from learnalign.errors import RunError
from learnalign.policy.memory import pack_batches, work_through

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_batches(
    items: Sequence[Item], lengths: Sequence[int], budget: int, compute: Callable[[list[Item]], Sequence[Result]]
) -> list[Result]:
    """`compute` on batches of at most `budget` tokens, padding included; results in the order of `items`.

    A batch that does not fit in memory is halved; raises RunError if a single item does not.
    """
    results: dict[int, Result] = {}

    def work(batch: list[int]) -> None:
        results.update(zip(batch, compute([items[i] for i in batch]), strict=True))

    def halves(batch: list[int]) -> list[list[int]]:
        if len(batch) == 1:
            raise RunError(
                "a single prompt does not fit in memory; leave out long ones (data.max_prompt_tokens), or use a "
                "smaller model.dtype"
            )
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]

    work_through(pack_batches(lengths, lambda: budget), work, halves)
    return [results[i] for i in range(len(items))]


def pad(sequences: Sequence[Sequence[int]], device: torch.device) -> Int[Tensor, "B T"]:
    """Token ids [B, T], zeros after each row's end."""
    token_ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.int64)
    for row, sequence in zip(token_ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return token_ids.to(device)
