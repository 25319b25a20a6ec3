"""Completions of the same prompt in one row, which computes the prompt once (gradients/capture/sharing.py).

A row is a prompt without its last token, then a branch for each completion: the prompt's last token and the completion
without its own last one. Each position of a branch predicts a token of its completion. Letters: N completions, C tokens of
the longest; R rows, T positions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Trees:
    """Padded rows; `branches` as `tree_inputs` takes them, `labels` are -100 where nothing is predicted."""

    token_ids: Int[Tensor, "R T"]
    branches: Int[Tensor, "R T"]
    labels: Int[Tensor, "R T"]
    places: Int[Tensor, "N C"]  # the position in the flattened rows that predicts each completion token; -1: none

    def pick(self, values: Float[Tensor, "R T"]) -> Float[Tensor, "N C"]:
        """The value of each completion token; 0 after a completion's end."""
        return values.flatten()[self.places.clamp(min=0)].masked_fill(self.places < 0, 0)


def plant(prompts: Sequence[Ids], completions: Sequence[Ids], width: int, cost: Callable[[int], float]) -> Trees:
    """The rows of `completions`, each of its prompt, in tensors of `width` columns; `cost` as for `arrange`."""
    rows = arrange(prompts, completions, cost)
    length = max(len(prompts[row[0]]) - 1 + sum(len(completions[i]) for i in row) for row in rows)
    token_ids = torch.zeros(len(rows), length, dtype=torch.long)
    branches, labels = torch.full_like(token_ids, -1), torch.full_like(token_ids, -100)
    places = torch.full((len(completions), width), -1)
    for number, row in enumerate(rows):
        *shared, last = prompts[row[0]]
        end = len(shared)
        token_ids[number, :end], branches[number, :end] = torch.tensor(shared), 0
        for branch, i in enumerate(row, 1):
            start, end = end, end + len(completions[i])
            token_ids[number, start:end] = torch.tensor([last, *completions[i][:-1]])
            branches[number, start:end], labels[number, start:end] = branch, torch.tensor(completions[i])
            places[i, : end - start] = torch.arange(start, end) + number * length
    return Trees(token_ids, branches, labels, places)


def arrange(prompts: Sequence[Ids], completions: Sequence[Ids], cost: Callable[[int], float]) -> list[list[int]]:
    """The completions of each row: the cheapest of some ways, if a row of T positions costs cost(T)."""
    order = sorted(range(len(completions)), key=lambda i: -len(completions[i]))
    longest = max(len(prompts[i]) - 1 + len(completions[i]) for i in order)
    most = max(Counter(prompts).values())
    ways = (_filled(prompts, completions, order, longest * times) for times in range(1, most + 1))
    rows = min(ways, key=lambda rows: len(rows) * cost(max(row.length for row in rows)))
    return [row.members for row in rows]


@dataclass
class _Row:
    length: int
    members: list[int]


def _filled(prompts: Sequence[Ids], completions: Sequence[Ids], order: Sequence[int], room: int) -> list[_Row]:
    """Each completion in the first row of its prompt that it fits into."""
    rows: dict[Ids, list[_Row]] = defaultdict(list)
    for i in order:
        own, length = rows[prompts[i]], len(completions[i])
        row = next((row for row in own if row.length + length <= room), None)
        if row is None:
            row = _Row(len(prompts[i]) - 1, [])
            own.append(row)
        row.length += length
        row.members.append(i)
    return [row for own in rows.values() for row in own]
