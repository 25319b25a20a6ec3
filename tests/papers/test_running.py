"""Cells of a table, run for real on the embedded model."""

import json

import pytest

from learnalign.errors import RunError
from learnalign.papers.cells import cells_of
from learnalign.papers.loading import load_table
from learnalign.papers.measures import entries
from learnalign.papers.perform import perform
from learnalign.papers.pipeline import prepare
from learnalign.papers.results import Results
from learnalign.papers.runner import run_cells
from learnalign.rundir.files import read_jsonl
from learnalign.rundir.lock import Lock

TABLE = """
title: mine
panels: {here: {config: papers/tiny, set: {data.limit: 16, warmup.size: 2}, rows: 16, parameters: 750000}}
arms:
  base: {train: none}
  length: {method: length}
  staged: {rounds: [0.5, 0.5], set: {warmup.size: 0}}
  norms: {train: choice}
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


def test_a_second_command_in_the_directory_is_refused(table, tmp_path):
    with Lock(tmp_path), pytest.raises(RunError, match="in use by another learnalign command"):
        run_cells(tmp_path, cells_of(table), Results(tmp_path), 1, lambda line: None)


def test_records_that_another_command_added_meanwhile_are_kept(table, tmp_path):
    early, late = Results(tmp_path), Results(tmp_path)
    late.add({"fingerprint": "other", "cell": "x"})
    run_cells(tmp_path, [], early, 1, lambda line: None)
    early.add({"fingerprint": "own", "cell": "y"})
    assert {line["fingerprint"] for line in read_jsonl(tmp_path / "results.jsonl")} == {"other", "own"}


def test_rounds_choose_and_train_each_with_the_policy_so_far(table, tmp_path):
    cell = next(cell for cell in cells_of(table) if cell.name == "staged")
    prepare(tmp_path, [cell])
    record = perform(tmp_path, cell)
    assert [each["chosen"] for each in record["training"]["rounds"]] == [8, 8]
    assert list(record["accuracy"]["demo-arithmetic-test"]) == ["1", "2"]
    assert record["training"]["steps"] == 2
    assert record["costs"].keys() >= {"rollout", "grad", "train"}


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
