"""Prompts to look at: of the kind asked for, spread over the pool, from what is stored so far."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnalign.errors import InputError, RunError
from learnalign.prompts import load_prompts
from learnalign.rollouts import Rollout, import_rollouts
from learnalign.rollouts.examples import example, examples, most_different
from learnalign.rundir import RunDir
from tests.tiny import make_run


def correct(row: int) -> int:
    """Correct completions of 4, by the row in the pool."""
    return {0: 0, 1: 2, 2: 4, 3: 1}[row % 4]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Twelve prompts in shards of 5, three of each of p = 0, 1/2, 1 and 1/4."""
    folder = tmp_path_factory.mktemp("examples")
    made = make_run(folder)
    rows = [
        {"id": p.id, "completions": [p.answer] * correct(p.row) + ["no"] * (4 - correct(p.row))}
        for p in load_prompts(made)
    ]
    (folder / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_rollouts(made, folder / "given.jsonl")
    return made


def test_each_kind_has_the_prompts_of_its_rate(run: RunDir) -> None:
    assert [(one.prompt.row, one.success_rate) for one in examples(run, "never")] == [(0, 0.0), (4, 0.0), (8, 0.0)]
    assert [(one.prompt.row, one.success_rate) for one in examples(run, "always", 2)] == [(2, 1.0), (6, 1.0)]
    rows = [(one.prompt.row, one.success_rate) for one in examples(run, "half", 4)]
    assert rows == [(1, 0.5), (5, 0.5), (9, 0.5), (3, 0.25)]


def test_without_a_kind_there_are_some_of_each(run: RunDir) -> None:
    assert [one.success_rate for one in examples(run)] == [0.0, 0.5, 1.0]
    assert [one.success_rate for one in examples(run, count=5)] == [0.0, 0.5, 1.0, 0.0, 0.5]


def test_an_example_has_its_whole_group_with_the_answers_read(run: RunDir) -> None:
    prompt = load_prompts(run)[1]
    found = example(run, prompt.id)
    assert found.prompt == prompt
    assert [(one.reward, one.answer) for one in found.rollouts] == [(1.0, prompt.answer)] * 2 + [(0.0, "no")] * 2
    assert found.rollouts[-1].reason == f"'no' is not '{prompt.answer}'"


def test_an_unknown_id_names_the_nearest(run: RunDir) -> None:
    id = load_prompts(run)[3].id
    with pytest.raises(InputError, match=f"the nearest is {id}"):
        example(run, id[:-1] + "x")


def test_a_run_that_is_not_finished_shows_what_is_there(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(RunError, match="learnalign rollout"):
        examples(run)
    prompts = load_prompts(run)
    with pytest.raises(RunError, match="no completions yet"):
        examples(run)
    (tmp_path / "given.jsonl").write_text(json.dumps({"id": prompts[0].id, "completion": "no"}), encoding="utf-8")
    import_rollouts(run, tmp_path / "given.jsonl")
    for shard in run.shards()[1:]:
        run.rollouts_file(shard).unlink()
    assert [one.prompt.id for one in examples(run)] == [prompts[0].id]
    with pytest.raises(RunError, match=f"{prompts[7].id} has no completions yet"):
        example(run, prompts[7].id)


def test_different_answers_come_before_repeated_ones() -> None:
    answers = ["a", "a", "a", "b", None, "a"]
    group = [Rollout("x", i, [], [], "", 0.0, "stop", None, answer) for i, answer in enumerate(answers)]
    assert [one.sample for one in most_different(group, 4)] == [0, 1, 3, 4]
