"""Batches keep samples whole and within their budget; running out of memory costs time, never a result."""

from __future__ import annotations

import pytest
import torch

from learnalign.gradients.capture.batching import collate, longest, pack, padded_tokens, rows_of
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout
from tests.gradients.tiny import random_samples, tiny_model


@pytest.mark.parametrize("budget", [1, 40, 150, 10_000])
def test_batches_hold_every_group_once_within_the_budget(budget):
    groups = rows_of(random_samples(30, rollouts=2))
    batches = list(pack(groups, lambda: budget))
    assert sorted(id(row) for batch in batches for group in batch for row in group) == sorted(
        id(row) for group in groups for row in group
    )
    for batch in batches:
        assert padded_tokens(batch) <= budget or len(batch) == 1
    lengths = [longest(group) for batch in batches for group in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_completion_tokens_are_predicted_from_the_position_before_them():
    samples = [Sample("a", [10, 11, 12], [UsedRollout([13, 14], 0.5)]), Sample("b", [20], [UsedRollout([21], 2.0)])]
    batch = collate(rows_of(samples), torch.device("cpu"), torch.float64)
    assert batch.token_ids.tolist() == [[10, 11, 12, 13], [20, 0, 0, 0]]  # the last token predicts nothing
    assert batch.positions.tolist() == [2, 3, 4]
    assert batch.targets.tolist() == [13, 14, 21]
    assert batch.advantage.tolist() == [0.5, 0.5, 2.0]
    assert batch.weight.tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        pytest.param(RuntimeError("can't allocate memory"), marks=pytest.mark.slow),
    ],
)
def test_out_of_memory_halves_the_batch_and_tries_again(error):
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, dim=64, width=8, batch_tokens=100_000))
    samples = random_samples(9)
    expected = engine.features(samples)
    backward, sizes = engine.backward, []

    def limited(batch, sink, sites=None):
        sizes.append(batch.token_ids.numel())
        backward(batch, sink, sites)
        if batch.token_ids.numel() > 100:
            raise error  # after work was done: nothing of it may count

    engine.backward = limited
    torch.testing.assert_close(engine.features(samples), expected, rtol=1e-5, atol=1e-7)
    assert sizes[0] > 100 >= sizes[-1]
    assert engine.budget.tokens <= sizes[0] // 2
    done = len(sizes)
    engine.features(samples)
    assert max(sizes[done:]) <= engine.budget.tokens  # learned for the rest of the run


def test_other_errors_are_not_taken_for_it():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, dim=64))
    engine.backward = lambda batch, sink: (_ for _ in ()).throw(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        engine.features(random_samples(3))
