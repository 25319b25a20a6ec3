"""ADARFT's target and its draws."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from learnalign.curriculum.adarft import Adarft, difficulties
from learnalign.errors import InputError
from learnalign.rollouts.success import success_of, write_success
from tests.tiny import make_run


def test_the_target_follows_the_reward_within_its_bounds() -> None:
    curriculum = Adarft([0.0, 50.0, 100.0], seed=0)
    curriculum.update([0], [0.75], None)
    assert curriculum.target == pytest.approx(50 * math.tanh(0.5))
    curriculum.update([0, 1], [1.0, None], None)
    assert curriculum.target == pytest.approx(50 * math.tanh(0.5) + 50 * math.tanh(1))
    for _ in range(3):
        curriculum.update([0], [1.0], None)
    assert curriculum.target == 100
    for _ in range(9):
        curriculum.update([0], [0.0], None)
    assert curriculum.target == 0
    curriculum.update([0], [None], None)
    assert curriculum.target == 0


def test_a_step_takes_the_prompts_nearest_to_the_target() -> None:
    curriculum = Adarft([0.0, 12.5, 25.0, 37.5, 50.0, 100.0], seed=0)
    assert sorted(curriculum.draw(2)) == [0, 1]
    curriculum.target = 40.0
    assert curriculum.draw(3) == [3, 4, 2]


def test_equally_near_prompts_are_drawn_in_seeded_order() -> None:
    draws = [tuple(sorted(Adarft([50.0] * 8, seed=seed).draw(3))) for seed in range(20)]
    assert len(set(draws)) > 10
    curriculum = Adarft([50.0] * 8, seed=1)
    assert len({tuple(sorted(curriculum.draw(3))) for _ in range(20)}) > 10


def test_a_restored_curriculum_continues_identically() -> None:
    one, other = (Adarft([float(i % 5) for i in range(30)], seed=2) for _ in range(2))
    one.draw(4)
    one.update([0], [0.6], None)
    other.load_state_dict(one.state_dict())
    assert [other.draw(4) for _ in range(3)] == [one.draw(4) for _ in range(3)]


def test_more_prompts_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="takes 3 different prompts, but there are 2"):
        Adarft([1.0, 2.0], seed=0).draw(3)


def test_difficulty_is_the_failure_rate_of_the_stored_rollouts(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(InputError, match="learnalign rollout"):
        difficulties(run, ["a"])
    write_success(run, [success_of("a", 4, 4, 1), success_of("b", 4, 4, 4), success_of("c", 4, 0, 0)])
    assert difficulties(run, ["b", "a"]) == [0.0, 75.0]
    with pytest.raises(InputError, match=r"no success rate for 1 of 1 prompts \(the first is c\)"):
        difficulties(run, ["c"])
