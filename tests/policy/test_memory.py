"""Batches keep to their budget; a batch that runs out of memory is done in smaller ones, and nothing is lost or done twice."""

from __future__ import annotations

import weakref
from itertools import pairwise

import numpy as np
import psutil
import pytest
import torch

from learnalign.policy.memory import FULL, free_memory, is_out_of_memory, pack_batches, work_through

LENGTHS = [int(n) for n in np.random.default_rng(0).integers(1, 50, 100)]
ROWS = [int(n) for n in np.random.default_rng(1).integers(1, 4, 100)]


@pytest.mark.parametrize("rows", [None, ROWS])
@pytest.mark.parametrize("budget", [1, 10, 64, 1000, 10**6])
def test_every_item_is_in_one_batch_under_the_budget(budget, rows):
    batches = list(pack_batches(LENGTHS, lambda: budget, rows))
    assert sorted(i for batch in batches for i in batch) == list(range(100))
    for batch in batches:
        positions = sum((rows or [1] * 100)[i] for i in batch) * max(LENGTHS[i] for i in batch)
        assert positions <= budget or len(batch) == 1


def test_items_come_longest_first_and_in_their_order_if_equal():
    order = [i for batch in pack_batches(LENGTHS, lambda: 300) for i in batch]
    assert order == sorted(range(100), key=lambda i: (-LENGTHS[i], i))


@pytest.mark.parametrize("budget", [1 << 13, 1 << 14, 1 << 15, 1 << 16])
def test_little_is_padding_at_every_budget_if_there_are_many_items(budget):
    lengths = [
        int(n) for n in np.exp(np.random.default_rng(2).normal(5, 0.4, 4000))
    ]  # as GSM8K's, 150 tokens in the middle
    batches = list(pack_batches(lengths, lambda: budget))
    positions = [len(batch) * max(lengths[i] for i in batch) for batch in batches]
    assert sum(positions) <= 1.05 * sum(lengths)
    assert all(positions[k] >= FULL / 2 for k in range(len(batches) - 1))


def test_a_small_budget_is_filled_whatever_the_padding():
    batches = [[LENGTHS[i] for i in batch] for batch in pack_batches(LENGTHS, lambda: 1000)]
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * batch[0] > 1000 >= len(batch) * batch[0]
        assert following[0] <= batch[-1]


def test_a_changed_budget_holds_from_the_next_batch_on():
    budgets = iter([2, 3, 1, 10])
    assert list(map(len, pack_batches([1] * 8, lambda: next(budgets)))) == [2, 3, 1, 2]


def halves(batch: list[int]) -> list[list[int]]:
    if len(batch) == 1:
        raise ValueError("too small")
    return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_a_batch_that_runs_out_of_memory_is_split_in_place(error):
    done: list[int] = []

    def work(batch: list[int]) -> None:
        if len(batch) > 2:
            raise error
        done.extend(batch)

    work_through([[0, 1], [2, 3, 4, 5, 6, 7, 8], [9]], work, halves)
    assert done == list(range(10))


def test_the_memory_of_a_failed_batch_is_free_when_its_parts_are_tried():
    kept: list[weakref.ref] = []

    def work(batch: list[int]) -> None:
        tensor = torch.zeros(len(batch))
        if len(batch) > 1:
            kept.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError
        assert kept
        assert all(one() is None for one in kept)

    work_through([[1, 2, 3]], work, halves)


def test_the_error_of_a_batch_that_cannot_be_smaller_is_the_callers():
    def work(batch: list[int]) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(ValueError, match="too small"):
        work_through([[1, 2, 3]], work, halves)


def test_other_errors_pass():
    assert not is_out_of_memory(RuntimeError("a bug"))

    def work(batch: list[int]) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        work_through([[1, 2]], work, halves)


def test_free_memory_of_a_cpu_is_what_the_system_has_available():
    assert free_memory(torch.device("cpu")) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
