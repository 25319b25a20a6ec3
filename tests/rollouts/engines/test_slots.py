"""The cache of rows: moving, filling and growing leave every row's attention unchanged."""

from __future__ import annotations

import pytest
import torch

from learnalign.rollouts.engines.slots import STEP, SlotCache, attention


def full_attention(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Softmax attention of one row in float64: query [H, D], keys and values [K, S, D]."""
    heads = query.shape[0] // keys.shape[0]
    keys, values = (x.double().repeat_interleave(heads, 0) for x in (keys, values))
    weights = torch.softmax((query.double()[:, None] @ keys.transpose(1, 2)) * 0.3, -1)
    return (weights @ values)[:, 0]


@pytest.mark.parametrize(("heads", "groups"), [(2, 2), (6, 2), (4, 1)])
def test_rows_that_move_grow_and_are_refilled_attend_to_their_own_tokens(heads: int, groups: int) -> None:
    generator = torch.Generator().manual_seed(heads)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    prefilled = [(random(3, groups, 9, 8), random(3, groups, 9, 8))]
    cache = SlotCache(4, prefilled)
    cache.fill(torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1]), prefilled)
    own = [[prefilled[0][0][i, :, :n], prefilled[0][1][i, :, :n]] for i, n in ((2, 9), (0, 5), (1, 7))]
    for step in range(3 * STEP):
        if step == STEP:  # row 0 ends, row 2 takes its place
            cache.move(torch.tensor([2]), torch.tensor([0]), own[2][0].shape[1])
            own = [own[2], own[1]]
        if step == STEP + 5:  # a new sample joins
            late = [(random(1, groups, 20, 8), random(1, groups, 20, 8))]
            cache.fill(torch.tensor([2]), torch.tensor([0]), late)
            own.append([late[0][0][0], late[0][1][0]])
        positions = torch.tensor([keys.shape[1] for keys, _ in own])
        mask = cache.prepare(positions, int(positions.max()))
        query, key, value = (
            random(len(own), heads, 1, 8),
            random(len(own), groups, 1, 8),
            random(len(own), groups, 1, 8),
        )
        keys, values = cache.update(key, value, 0)
        out, _ = attention(torch.nn.Module(), query, keys, values, mask, scaling=0.3)
        for i, row in enumerate(own):
            row[0], row[1] = torch.cat([row[0], key[i]], 1), torch.cat([row[1], value[i]], 1)
            expected = full_attention(query[i, :, 0], row[0], row[1])
            torch.testing.assert_close(out[i, 0].double(), expected, rtol=1e-5, atol=1e-6)
