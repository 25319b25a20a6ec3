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
class Batch:
    """Padded rows [B, T], and of all N completion tokens their place in it, id, advantage and weight."""

    token_ids: Int[Tensor, "B T"]
    samples: Int[Tensor, "B"]
    positions: Int[Tensor, "N"]  # row · T + column of the hidden state that predicts the token
    targets: Int[Tensor, "N"]
    advantage: Float[Tensor, "N"]
    weight: Float[Tensor, "N"]
    row_of: Int[Tensor, "N"]


def rows_of(samples: Sequence[Sample]) -> list[Row]:
    """Every rollout of every sample as a row; empty completions have no gradient and give none."""
    return [
        Row(i, sample.prompt_ids, o.token_ids, o.advantage, 1.0 / (len(sample.completions) * len(o.token_ids)))
        for i, sample in enumerate(samples)
        for o in sample.completions
        if len(o.token_ids)
    ]


def plan(groups: Sequence[Sequence[Row]], budget: int) -> list[list[Row]]:
    """Pack groups (whose rows must stay together) into batches of at most `budget` tokens, longest first.

    A group that exceeds the budget alone gets a batch of its own.
    """
    ordered = sorted(groups, key=lambda rows: (-max(row.length for row in rows), rows[0].sample))
    batches: list[list[Row]] = []
    longest = 0
    for rows in ordered:
        longest = max(row.length for row in batches[-1]) if batches else 0
        if batches and (len(batches[-1]) + len(rows)) * longest <= budget:
            batches[-1].extend(rows)
        else:
            batches.append(list(rows))
    return batches


def collate(rows: Sequence[Row], device: torch.device, dtype: torch.dtype) -> Batch:
    """Pad rows on the right and lay out their completion tokens."""
    length = max(row.length for row in rows)
    token_ids = torch.zeros(len(rows), length, dtype=torch.int64)
    positions, targets, advantage, weight, row_of = [], [], [], [], []
    for i, row in enumerate(rows):
        tokens = torch.tensor([*row.prompt_ids, *row.completion_ids])
        token_ids[i, : row.length] = tokens[:-1]
        count, first = len(row.completion_ids), len(row.prompt_ids) - 1
        positions.append(torch.arange(i * length + first, i * length + first + count))
        targets.append(tokens[first + 1 :])
        advantage.append(torch.full((count,), row.advantage, dtype=dtype))
        weight.append(torch.full((count,), row.weight, dtype=dtype))
        row_of.append(torch.full((count,), i))
    samples = torch.tensor([row.sample for row in rows])
    parts = (token_ids, samples, *map(torch.cat, (positions, targets, advantage, weight, row_of)))
    if device.type == "cuda":
        parts = tuple(part.pin_memory().to(device, non_blocking=True) for part in parts)
    return Batch(*parts)
