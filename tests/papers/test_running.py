"""Cells of a table, run for real on the embedded model."""

import json
from contextlib import suppress

import pytest

from learnalign.errors import RunError
from learnalign.gradients import grad
from learnalign.papers import pipeline
from learnalign.papers.cells import cells_of
from learnalign.papers.loading import load_table
from learnalign.papers.measures import entries
from learnalign.papers.perform import perform
from learnalign.papers.pipeline import prepare
from learnalign.papers.results import Results
from learnalign.papers.runner import _Schedule, run_cells
from learnalign.rundir import RunDir, rundir
from learnalign.rundir.files import read_json, read_jsonl
from learnalign.rundir.lock import Lock
from learnalign.rundir.machine import Moment
from learnalign.signals import stage
from learnalign.signals.table import signal_table

TABLE = """
title: mine
panels: {here: {config: papers/tiny, set: {data.limit: 16, warmup.size: 2}, rows: 16, parameters: 750000}}
arms:
  base: {train: none}
  length: {method: length}
  staged: {rounds: [0.5, 0.5], set: {warmup.size: 0}}
  norms: {train: choice}
  more: {method: random, spend: norms}
sizes: [4]
tests: [demo-arithmetic-test]
evaluate: {data.limit: 4}
steps: 1
at: 2
measures: [accuracy, curve, training-hours, selection-hours, norm-length]
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    file = tmp_path_factory.mktemp("table") / "mine.yaml"
    file.write_text(TABLE)
    return load_table(str(file))


@pytest.mark.slow
def test_a_choice_and_the_base_model_run_and_are_resumed_for_free(table, tmp_path):
    cells = [cell for cell in cells_of(table) if cell.name in ("base", "length")]
    assert run_cells(tmp_path, cells, Results(tmp_path), 1, lambda line: None) == {}
    by_arm = {line["arm"]: line for line in map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())}
    assert by_arm["length"]["chosen"] == 4
    assert by_arm["length"]["training"]["steps"] == 1
    assert "training" not in by_arm["base"]
    said: list[str] = []
    assert run_cells(tmp_path, cells, Results(tmp_path), 1, said.append) == {}
    assert not said
    found = {(each.arm, each.measure, each.test): each for each in entries(table, cells, Results(tmp_path))}
    evaluated = by_arm["length"]["accuracy"]["demo-arithmetic-test"]["1"]["value"]
    assert found["length", "accuracy", "demo-arithmetic-test"].mean == pytest.approx(100 * evaluated)
    assert found["base", "training-hours", None].mean is None


@pytest.mark.slow
def test_a_cell_that_fails_is_named_with_its_reason_and_the_others_go_on(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(TABLE.replace("arms:", "arms:\n  bad: {train: pool, set: {train.trainer: {top_k: none}}}"))
    cells = [cell for cell in cells_of(load_table(str(file))) if cell.name in ("bad", "base")]
    said: list[str] = []
    failed = run_cells(tmp_path, cells, Results(tmp_path), 1, said.append)
    assert list(failed) == ["here/bad/-/0"]
    assert "train" in failed["here/bad/-/0"]
    assert [line["arm"] for line in read_jsonl(tmp_path / "results.jsonl")] == ["base"]
    assert any("here/bad/-/0" in line and "Traceback" not in line for line in said)


@pytest.mark.slow
def test_a_choice_that_fails_takes_no_other_cell_of_its_pipeline_with_it(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        TABLE.replace(
            "arms:", "arms:\n  many: {method: length, train: choice, size: 17}\n  few: {method: length, train: choice}"
        )
    )
    cells = [cell for cell in cells_of(load_table(str(file))) if cell.name in ("many", "few")]
    failed = run_cells(tmp_path, cells, Results(tmp_path), 1, lambda line: None)
    assert list(failed) == ["here/many/17/0"]
    assert "17" in failed["here/many/17/0"]
    assert [line["arm"] for line in read_jsonl(tmp_path / "results.jsonl")] == ["few"]


@pytest.mark.slow
def test_gradients_that_fail_take_only_the_cells_with_them_that_need_them(tmp_path):
    file = tmp_path / "mine.yaml"
    parts = "set: {grad.max_bad: 0.0, grad.modules: '*nothing*'}"
    arms = f"arms:\n  graded: {{train: choice, {parts}}}\n  plain: {{method: learnability, train: choice, {parts}}}"
    file.write_text(TABLE.replace("arms:", arms))
    cells = [cell for cell in cells_of(load_table(str(file))) if cell.name in ("graded", "plain", "length")]
    assert cells[0].pipeline == cells[1].pipeline
    said: list[str] = []
    failed = run_cells(tmp_path, cells, Results(tmp_path), 1, said.append)
    assert list(failed) == ["here/graded/4/0"]
    assert "*nothing*" in failed["here/graded/4/0"]
    assert {line["arm"] for line in read_jsonl(tmp_path / "results.jsonl")} == {"plain", "length"}
    assert "3 of 3 done" in said[-1]


@pytest.mark.parametrize("ended", ["between two shards", "with an error", "before the cost is kept"])
def test_an_interrupted_signal_costs_what_the_whole_signal_costs(tmp_path, monkeypatch, ended):
    """A clock that a shard moves by 1, and 4 shards; another signal is computed between the two calls, or in the first."""
    file = tmp_path / "mine.yaml"
    set_ = "data.limit: 16, executor.shard_size: 4, signal.policy: base"
    file.write_text(TABLE.replace("data.limit: 16", set_).replace("arms:", "arms:\n  ppl: {method: ppl-top}"))
    cells = [cell for cell in cells_of(load_table(str(file))) if cell.name in ("length", "ppl")]
    clock, shards = [0.0], [99 if ended == "before the cost is kept" else 2]
    monkeypatch.setattr(pipeline, "this_moment", lambda: Moment(clock[0], clock[0]))
    monkeypatch.setattr(rundir, "this_moment", lambda: Moment(clock[0], clock[0]))

    def computed(signal, *arguments):
        if signal.name == "length":
            shards[0] -= 1
        if shards[0] < 0:
            shards[0] = 99
            raise RunError("no") if ended == "with an error" else KeyboardInterrupt
        clock[0] += 1
        return signal_table(signal, *arguments)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "signal_table", computed)
    with monkeypatch.context() as patch:
        if ended == "before the cost is kept":
            patch.setattr(pipeline, "write_json", interrupted)
        with suppress(KeyboardInterrupt):
            assert prepare(tmp_path, cells).keys() == {"here/length/4/0"}
    assert prepare(tmp_path, cells) == {}
    for name in ("length", "perplexity"):
        cost = read_json(tmp_path / f"{cells[0].pipeline}-chosen" / f"{name}.cost")
        assert cost == {"seconds": 4.0, "cpu_seconds": 4.0}


@pytest.mark.slow
def test_an_arm_that_is_added_shares_the_rollouts_of_a_pipeline_that_has_gone_on(tmp_path, monkeypatch):
    """Its gradients may have other settings, and cost nothing before they are made."""
    file = tmp_path / "mine.yaml"
    arms = (
        "arms:\n  small: {train: choice, set: {grad.dim: 64}}\n  angle: {train: choice, set: {signal.batch_tokens: 64}}"
    )
    file.write_text(TABLE.replace("arms:", arms))
    cells = {cell.name: cell for cell in cells_of(load_table(str(file)))}
    own = [cells[name] for name in ("norms", "small", "angle")]
    assert len({cell.pipeline for cell in own}) == 3
    assert prepare(tmp_path, own[:1]) == {}
    recorded = []

    def noted(run):
        recorded.append({*run.read_record()["stages"]})
        return grad(run)

    monkeypatch.setattr(pipeline, "grad", noted)
    assert prepare(tmp_path, own) == {}
    assert recorded[1:] == [{"pool", "warmup", "rollout"}] * 2
    runs = [RunDir.open(tmp_path / cell.pipeline) for cell in own]
    rollouts = [[file.read_bytes() for file in sorted((run.path / "rollouts").iterdir())] for run in runs]
    assert rollouts[0] == rollouts[1] == rollouts[2]
    assert all(run.is_finished(stage, read=True) for run in runs for stage in ("pool", "warmup", "rollout", "grad"))


def test_a_second_command_in_the_directory_is_refused(table, tmp_path):
    with Lock(tmp_path), pytest.raises(RunError, match="in use by another learnalign command"):
        run_cells(tmp_path, cells_of(table), Results(tmp_path), 1, lambda line: None)


def test_records_that_another_command_added_meanwhile_are_kept(table, tmp_path):
    early, late = Results(tmp_path), Results(tmp_path)
    late.add({"fingerprint": "other", "cell": "x", "accuracy": {}, "costs": {}})
    run_cells(tmp_path, [], early, 1, lambda line: None)
    early.add({"fingerprint": "own", "cell": "y", "accuracy": {}, "costs": {}})
    assert {line["fingerprint"] for line in read_jsonl(tmp_path / "results.jsonl")} == {"other", "own"}


def test_cells_that_write_the_same_directories_run_one_by_one(tmp_path):
    """Two panels with the same settings and other tests: the same training, and the same evaluations of the base model."""
    file = tmp_path / "mine.yaml"
    panel = "{config: papers/tiny, set: {data.limit: 16, warmup.size: 2}, rows: 16, parameters: 750000, tests: [demo]}"
    file.write_text(TABLE.replace("panels: {", f"panels: {{other: {panel}, "))
    cells = [cell for cell in cells_of(load_table(str(file))) if cell.name in ("base", "length")]
    schedule = _Schedule(cells)
    prepared = schedule.next()
    assert isinstance(prepared, str)
    schedule.finish(prepared, {})
    first = [schedule.next() for _ in cells]
    assert [work and work.key for work in first] == ["other/base/-/0", "other/length/4/0", None, None]
    schedule.finish(first[0], {})
    assert [work and work.key for work in (schedule.next(), schedule.next())] == ["here/base/-/0", None]


@pytest.mark.parametrize("line", ["[1]", "{}", '{"cell": "here/base/-/0", "fingerprint": "x"}'])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    (tmp_path / "results.jsonl").write_text(line + "\n")
    with pytest.raises(RunError, match=r"results\.jsonl, line 1: .*delete the line"):
        Results(tmp_path)


@pytest.mark.slow
def test_rounds_choose_and_train_each_with_the_policy_so_far(table, tmp_path):
    cell = next(cell for cell in cells_of(table) if cell.name == "staged")
    prepare(tmp_path, [cell])
    record = perform(tmp_path, cell)
    assert [each["chosen"] for each in record["training"]["rounds"]] == [8, 8]
    assert list(record["accuracy"]["demo-arithmetic-test"]) == ["1", "2"]
    assert record["training"]["steps"] == 2
    assert record["costs"].keys() >= {"rollout", "grad", "train"}


@pytest.mark.slow
def test_what_a_selection_costs_is_spent_on_steps_of_the_training_s_own_price(table, tmp_path):
    cell = next(cell for cell in cells_of(table) if cell.name == "more")
    prepare(tmp_path, [cell])
    record = perform(tmp_path, cell)
    run = tmp_path / cell.pipeline
    stages = read_json(run / "run.json")["stages"]
    usual = read_json(run / "train" / f"{cell.label}-usual" / "run.json")["stages"]["train"]
    spent = sum(stages[stage]["cpu_seconds"] for stage in ("warmup", "rollout", "grad"))
    assert record["training"]["steps"] == 1 + round(spent / usual["cpu_seconds"])
    assert record["costs"].keys() == {"select", "train"}


@pytest.mark.slow
def test_a_choice_without_training_has_costs_and_norms_alone(table, tmp_path):
    cell = next(cell for cell in cells_of(table) if cell.name == "norms")
    prepare(tmp_path, [cell])
    record = perform(tmp_path, cell)
    assert record["accuracy"] == {}
    assert "training" not in record
    assert record["costs"].keys() == {"warmup", "rollout", "grad", "select"}
    assert -1 <= record["norm-length"] <= 1


def test_panels_with_the_same_stand_in_train_for_steps_of_their_own(tmp_path):
    cells = [cell for cell in cells_of(load_table("learnalign-table-14", "tiny")) if cell.name == "learnalign"]
    assert [cell.config.train.steps for cell in cells] == [2, 1]
    assert len({cell.pipeline for cell in cells}) == 1
    assert len({cell.label for cell in cells}) == 2
