"""Batches of rows of nearly the same length under a budget of tokens, padding included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.gradients.grpo import Sample

# ruff: noqa: F722, F821, UP037, RUF100


@dataclass(frozen=True)
class Row:
    """One prompt with one completion: a row of a batch. `weight` is 1/(|R||o|)."""

    sample: int
    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    advantage: float
    weight: float

    @property
    def length(self) -> int:
        """Positions fed to the model: the last token predicts nothing that is needed."""
        return len(self.prompt_ids) + len(self.completion_ids) - 1


@dataclass(frozen=True)
class Block:
    """The rows of a batch (start to stop) and their longest length that belong to one sample."""

    sample: int
    start: int
    stop: int
    length: int

    def of(self, values: Float[Tensor, "B T D"]) -> Float[Tensor, "tokens D"]:
        """This sample's part of a batch's values; padding inside the block stays."""
        return values[self.start : self.stop, : self.length].flatten(0, 1)


@dataclass(frozen=True)
class Batch:
    """Padded rows [B, T], and of all N completion tokens their place in it, id, advantage and weight."""

    token_ids: Int[Tensor, "B T"]
    samples: Int[Tensor, "B"]
    positions: Int[Tensor, "N"]  # row · T + column of the hidden state that predicts the token
    targets: Int[Tensor, "N"]
    advantage: Float[Tensor, "N"]
    weight: Float[Tensor, "N"]
    counts: list[int]  # completion tokens of every row
    blocks: list[Block]

    def parts(self, chunk: slice) -> list[tuple[int, slice]]:
        """The rows that a chunk of the N completion tokens holds tokens of, and which of the chunk's tokens those are."""
        found, start = [], 0
        for row, count in enumerate(self.counts):
            first, last = max(start, chunk.start), min(start + count, chunk.stop)
            if first < last:
                found.append((row, slice(first - chunk.start, last - chunk.start)))
            start += count
        return found


def rows_of(samples: Sequence[Sample]) -> list[list[Row]]:
    """The rollouts of every sample as rows; empty completions have no gradient and give none."""
    groups = [
        [
            Row(i, sample.prompt_ids, o.token_ids, o.advantage, 1.0 / (len(sample.completions) * len(o.token_ids)))
            for o in sample.completions
            if len(o.token_ids)
        ]
        for i, sample in enumerate(samples)
    ]
    return [group for group in groups if group]


def plan(groups: Sequence[Sequence[Row]], budget: int) -> list[list[list[Row]]]:
    """Pack groups (whose rows stay together) into batches of at most `budget` tokens, longest first.

    A group that exceeds the budget alone gets a batch of its own.
    """
    ordered = sorted(groups, key=lambda rows: (-longest(rows), rows[0].sample))
    batches: list[list[list[Row]]] = []
    room = 0
    for rows in ordered:
        if not batches or len(rows) * longest(batches[-1][0]) > room:
            batches.append([])
            room = budget
        batches[-1].append(list(rows))
        room -= len(rows) * longest(batches[-1][0])
    return batches


def longest(rows: Sequence[Row]) -> int:
    """Positions of the longest row."""
    return max(row.length for row in rows)


def padded_tokens(groups: Sequence[Sequence[Row]]) -> int:
    """Positions of a batch of these groups, padding included."""
    return sum(map(len, groups)) * max(map(longest, groups))


def collate(groups: Sequence[Sequence[Row]], device: torch.device, dtype: torch.dtype) -> Batch:
    """Pad the groups' rows on the right and lay out their completion tokens."""
    rows = [row for group in groups for row in group]
    length = longest(rows)
    token_ids = torch.zeros(len(rows), length, dtype=torch.int64)
    positions, targets, advantage, weight = [], [], [], []
    for i, row in enumerate(rows):
        tokens = torch.tensor([*row.prompt_ids, *row.completion_ids])
        token_ids[i, : row.length] = tokens[:-1]
        count, first = len(row.completion_ids), len(row.prompt_ids) - 1
        positions.append(torch.arange(i * length + first, i * length + first + count))
        targets.append(tokens[first + 1 :])
        advantage.append(torch.full((count,), row.advantage, dtype=dtype))
        weight.append(torch.full((count,), row.weight, dtype=dtype))
    samples = torch.tensor([row.sample for row in rows])
    parts = [token_ids, samples, *map(torch.cat, (positions, targets, advantage, weight))]
    if device.type == "cuda":
        parts = [part.pin_memory().to(device, non_blocking=True) for part in parts]
    names = ("token_ids", "samples", "positions", "targets", "advantage", "weight")
    return Batch(
        **dict(zip(names, parts, strict=True)), counts=[len(row.completion_ids) for row in rows], blocks=_blocks(groups)
    )


def _blocks(groups: Sequence[Sequence[Row]]) -> list[Block]:
    blocks, start = [], 0
    for group in groups:
        blocks.append(Block(group[0].sample, start, start + len(group), longest(group)))
        start += len(group)
    return blocks
