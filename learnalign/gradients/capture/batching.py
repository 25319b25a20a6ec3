"""Batches of rows of nearly the same length under a budget of tokens, padding included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.gradients.grpo import Sample, UsedRollout
from learnalign.policy.memory import pack_batches


@dataclass(frozen=True)
class Branch:
    """One completion of a row's prompt; `weight` is 1/(|R||o|), `start` the place of its first token among those of all samples."""

    rollout: UsedRollout
    weight: float
    start: int

    @property
    def token_ids(self) -> Sequence[int]:
        return self.rollout.token_ids


@dataclass(frozen=True)
class Row:
    """One prompt and the completions that follow it: one, or several that share the prompt's computation."""

    sample: int
    prompt_ids: Sequence[int]
    branches: Sequence[Branch]

    @property
    def length(self) -> int:
        """Positions fed to the model: without each completion's last token, whose prediction is not needed."""
        return len(self.prompt_ids) + sum(len(branch.token_ids) - 1 for branch in self.branches)

    def halves(self) -> list[Row]:
        """Two rows with half of the completions each."""
        middle = len(self.branches) // 2
        return [replace(self, branches=part) for part in (self.branches[:middle], self.branches[middle:])]


@dataclass(frozen=True)
class Block:
    """The rows of a batch (start to stop) that belong to one sample."""

    sample: int
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """Padded rows [B, T], and the position, id, advantage and weight of all N completion tokens."""

    token_ids: Int[Tensor, "B T"]
    samples: Int[Tensor, "B"]
    positions: Int[Tensor, "N"]  # row · T + column of the hidden state that predicts the token
    targets: Int[Tensor, "N"]
    advantage: Float[Tensor, "N"]
    weight: Float[Tensor, "N"]
    group_samples: Int[Tensor, "G"]  # the sample of every group
    counts: list[int]  # completion tokens of every row
    blocks: list[Block]
    places: Int[Tensor, "N"]  # of the tokens among those of all samples
    reference: Float[Tensor, "N"] | None = None  # log π_ref of every token, if all rollouts have it
    branches: Int[Tensor, "B T"] | None = None  # 0: prompt, k: k-th completion, −1: padding; None: one completion a row

    def parts(self, chunk: slice) -> list[tuple[int, slice]]:
        """For a chunk of the N completion tokens: the rows it has tokens of, each with the slice of the chunk that holds them."""
        parts, start = [], 0
        for row, count in enumerate(self.counts):
            first, last = max(start, chunk.start), min(start + count, chunk.stop)
            if first < last:
                parts.append((row, slice(first - chunk.start, last - chunk.start)))
            start += count
        return parts


def rows_of(samples: Sequence[Sample], together: Callable[[Sample], int] = lambda sample: 1) -> list[list[Row]]:
    """The rows of every sample: its completions, `together(sample)` to a row, sorted by length.

    Leaves out empty completions, which have no gradient.
    """
    groups, start = [], 0
    for i, sample in enumerate(samples):
        branches = []
        for one in sample.rollouts:
            if count := len(one.token_ids):
                branches.append(Branch(one, 1.0 / (len(sample.rollouts) * count), start))
                start += count
        branches.sort(key=lambda branch: -len(branch.token_ids))
        size = together(sample)
        groups.append([Row(i, sample.prompt_ids, branches[k : k + size]) for k in range(0, len(branches), size)])
    return [group for group in groups if group]


def pack(groups: Sequence[Sequence[Row]], budget: Callable[[], int]) -> Iterator[Sequence[Sequence[Row]]]:
    """Batches of groups, whose rows stay together, by `pack_batches`."""
    for batch in pack_batches([longest(group) for group in groups], budget, [len(group) for group in groups]):
        yield [groups[i] for i in batch]


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
    branch_of = torch.full((len(rows), length), -1)
    positions, targets, advantage, weight, places = [], [], [], [], []
    for i, row in enumerate(rows):
        end = len(row.prompt_ids)
        last = i * length + end - 1
        token_ids[i, :end] = torch.tensor(row.prompt_ids)
        branch_of[i, :end] = 0
        for number, branch in enumerate(row.branches, 1):
            tokens, count = torch.tensor(branch.token_ids), len(branch.token_ids)
            start, end = end, end + count - 1
            token_ids[i, start:end] = tokens[:-1]
            branch_of[i, start:end] = number
            positions += [torch.tensor([last]), torch.arange(i * length + start, i * length + end)]
            targets.append(tokens)
            advantage.append(torch.full((count,), branch.rollout.advantage, dtype=dtype))
            weight.append(torch.full((count,), branch.weight, dtype=dtype))
            places.append(torch.arange(branch.start, branch.start + count))
    parts = {"token_ids": token_ids, "samples": torch.tensor([row.sample for row in rows])}
    parts["group_samples"] = torch.tensor([group[0].sample for group in groups])
    lists = {"positions": positions, "targets": targets, "advantage": advantage, "weight": weight, "places": places}
    reference = [branch.rollout.reference for row in rows for branch in row.branches]
    if all(each is not None for each in reference):
        lists["reference"] = [each.to(dtype) for each in reference if each is not None]
    parts |= {name: torch.cat(values) for name, values in lists.items()}
    if any(len(row.branches) > 1 for row in rows):
        parts["branches"] = branch_of
    if device.type == "cuda":
        parts = {name: part.pin_memory().to(device, non_blocking=True) for name, part in parts.items()}
    counts = [sum(len(branch.token_ids) for branch in row.branches) for row in rows]
    return Batch(**parts, counts=counts, blocks=_blocks(groups))


def _blocks(groups: Sequence[Sequence[Row]]) -> list[Block]:
    blocks, start = [], 0
    for group in groups:
        blocks.append(Block(group[0].sample, start, start + len(group)))
        start += len(group)
    return blocks
