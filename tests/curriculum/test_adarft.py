"""ADARFT's target and its draws."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from learnalign.config import AdarftConfig, load_config
from learnalign.curriculum.adarft import Adarft, difficulties, make
from learnalign.errors import InputError
from learnalign.prompts import read_pool
from learnalign.rollouts.success import success_of, write_success
from learnalign.rundir.stages import settings_of
from learnalign.training.train_stage import sub_config
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
    run, settings = make_run(tmp_path), AdarftConfig()
    with pytest.raises(InputError, match="learnalign rollout"):
        difficulties(run, settings, ["a"], [])
    write_success(run, [success_of("a", 4, 4, 1), success_of("b", 4, 4, 4), success_of("c", 4, 0, 0)])
    assert difficulties(run, settings, ["b", "a"], []) == [0.0, 75.0]
    assert difficulties(run, AdarftConfig(lowest=1, highest=5), ["b", "a"], []) == [1.0, 4.0]
    with pytest.raises(InputError, match=r"no success rate for 1 of 1 prompt \(the first is c\)"):
        difficulties(run, settings, ["c"], [])


def test_every_constant_is_that_of_the_update_rule() -> None:
    """T ← clip(T + η tanh(α(R̄ − β)), d_min, d_max), written out."""
    settings = AdarftConfig(lowest=-2, highest=7, start=1, step_size=3, sensitivity=0.7, target_reward=0.9)
    curriculum, target = Adarft([0.0], 0, settings), 1.0
    assert curriculum.target == target
    for rate in (1.0, 0.0, 0.25, 0.0, 0.0, *[1.0] * 60):
        curriculum.update([0], [rate], None)
        target = min(max(target + 3 * math.tanh(0.7 * (rate - 0.9)), -2), 7)
        assert curriculum.target == pytest.approx(target)
    assert target == 7


def test_difficulties_come_from_the_training_file_s_column_without_rollouts(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": "1", "info": {"hard": h}} for i, h in enumerate([10, "62.5", 0.0])]
    (tmp_path / "subset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for column, expected in (("info.hard", [10.0, 62.5, 0.0]), ("-info.hard", [90.0, 37.5, 100.0])):
        run = make_run(tmp_path / column, train={"curriculum": "adarft", "adarft": {"difficulty": column}})
        config = sub_config(run.config, tmp_path / "subset.jsonl")
        curriculum = make(run, config, read_pool(config.data)[0], 2)
        assert curriculum.difficulties.tolist() == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None is not a number"),
        ("hard", "'hard' is not a number"),
        (True, "True is not a number"),
        (math.nan, "nan is not a number"),
        (100.5, "100.5 is not from 0 to 100"),
        (-1, "-1 is not from 0 to 100"),
    ],
)
def test_a_difficulty_that_is_no_number_in_the_range_names_row_and_column(
    tmp_path: Path, value: object, words: str
) -> None:
    sources = [(0, {"d": 3, "q": "?"}), (7, {"d": value, "q": "?"})]
    with pytest.raises(InputError) as caught:
        difficulties(make_run(tmp_path), AdarftConfig(difficulty="d"), ["a", "b"], sources)
    assert f"row 7, column 'd': {words}" in str(caught.value)
    assert "the row has 'd', 'q'" in str(caught.value)


@pytest.mark.parametrize("value", ["{lowest: 5, highest: 5}", "{start: 101}", "{step_size: 0}", "{target_reward: 2}"])
def test_settings_out_of_range_are_refused(value: str) -> None:
    with pytest.raises(InputError, match=r"train\.adarft\."):
        load_config("demo", [f"train.adarft={value}"])


def test_settings_at_their_defaults_leave_older_trainings_valid() -> None:
    def fingerprinted(*overrides: str) -> dict[str, object]:
        settings = settings_of(load_config("demo", overrides), "train")
        return {key: value for key, value in settings.items() if "adarft." in key}

    assert fingerprinted("train.curriculum=adarft") == {}
    assert fingerprinted("train.curriculum=adarft", "train.adarft.step_size=10") == {"train.adarft.step_size": 10}
