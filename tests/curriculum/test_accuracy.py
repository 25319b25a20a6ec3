"""Accuracy only: a prompt that is fully correct once is out, the others come in random order."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.curriculum.accuracy import Accuracy


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 99))
def test_draws_are_passes_over_the_prompts_that_were_never_fully_correct(size: int, count: int, seed: int) -> None:
    """Against a simulation that walks through whole epochs one prompt at a time and knows nothing of positions."""
    curriculum, world = Accuracy(size, seed), random.Random(seed)
    solved: set[int] = set()
    epoch: list[int] = []  # rows seen in the present epoch
    for _ in range(12):
        if len(solved) == size:
            solved, epoch = set(), []
        rows = curriculum.draw(count)
        assert len(rows) == count
        for row in rows:
            assert row not in solved
            if row in epoch:  # a new epoch: the old one must have shown every unsolved prompt
                assert set(range(size)) - solved <= set(epoch)
                epoch = []
            epoch.append(row)
        rates = [world.choice([0.0, 0.5, 1.0, None]) for _ in rows]
        curriculum.update(rows, rates, None)
        solved |= {row for row, rate in zip(rows, rates, strict=True) if rate == 1}
        assert curriculum.metrics() == {"solved": len(solved)}


def test_the_order_is_random_and_changes_each_epoch() -> None:
    firsts = Counter(Accuracy(5, seed).draw(1)[0] for seed in range(1000))
    assert sum((firsts[row] - 200) ** 2 / 200 for row in range(5)) < 18.5  # chi-square, 4 degrees of freedom, 99.9 %
    curriculum = Accuracy(20, 0)
    first, second = curriculum.draw(20), curriculum.draw(20)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_when_all_are_solved_all_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    curriculum = Accuracy(4, 0)
    curriculum.update(range(4), [1.0] * 4, None)
    assert sorted(curriculum.draw(4)) == [0, 1, 2, 3]
    assert capsys.readouterr().err == "curriculum accuracy: all 4 prompts are solved, and all come back\n"
    assert curriculum.metrics() == {"solved": 0}


def test_a_restored_curriculum_continues_identically() -> None:
    one, other = (Accuracy(30, seed=2) for _ in range(2))
    for _ in range(5):
        one.update(one.draw(7), [1.0, 0.0, 1.0, None, 0.5, 1.0, 0.0], None)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert [other.draw(7) for _ in range(6)] == [one.draw(7) for _ in range(6)]
