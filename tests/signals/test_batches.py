"""Results keep their order, and a batch that does not fit is halved."""

from __future__ import annotations

import pytest
import torch

from learnalign.errors import RunError
from learnalign.signals.batches import in_batches


def test_results_are_in_the_order_of_the_items() -> None:
    items = [3, 1, 4, 1, 5, 9, 2, 6]
    assert in_batches(items, items, 10, lambda batch: [10 * item for item in batch]) == [10 * item for item in items]


def test_a_batch_that_does_not_fit_is_halved() -> None:
    def compute(batch: list[int]) -> list[int]:
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return batch

    assert in_batches(list(range(9)), [1] * 9, 100, compute) == list(range(9))


def test_a_single_item_that_does_not_fit_is_an_error_with_ways_out() -> None:
    def compute(batch: list[int]) -> list[int]:
        raise torch.OutOfMemoryError

    with pytest.raises(RunError, match=r"data\.max_prompt_tokens"):
        in_batches([1], [1], 100, compute)
