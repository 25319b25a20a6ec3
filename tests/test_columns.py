"""Columns of a row: a gold of several columns, and the rows that `data.where` takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import DataConfig, load_config
from learnalign.errors import InputError
from learnalign.handoff.handing import write_messages
from learnalign.prompts import elsewhere, load_prompts, read_pool
from tests.tiny import make_run

ROWS: list[dict[str, Any]] = [
    {"q": "1?", "tests": '[{"stdin": "ü"}]', "meta": {"name": "f", "date": "2024-07-31T23:59:59"}, "level": 3},
    {"q": "2?", "tests": [1, 2], "meta": {"name": None, "date": "2024-08-01T00:00:00"}, "level": 5},
    {"q": "3?", "tests": None, "meta": {"date": "2025-02-01T00:00:00"}, "level": "5"},
]


def read(folder: Path, rows: list[dict[str, Any]] = ROWS, **data: Any) -> Any:
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_pool(DataConfig.model_validate({"path": str(path), "prompt": "q", "answer": "q", **data}))


def test_a_gold_of_several_columns_is_an_object_of_those_that_the_row_has(tmp_path: Path) -> None:
    prompts, left_out, count = read(tmp_path, answer=["tests", "meta.name"])
    assert count == 3
    assert [json.loads(prompt.answer) for prompt in prompts] == [
        {"tests": '[{"stdin": "ü"}]', "name": "f"},
        {"tests": [1, 2]},
    ]
    assert [(line.row, line.reason) for line in left_out] == [(2, "no answer in the columns 'tests', 'meta.name'")]


@pytest.mark.parametrize("columns", [["tests", "mete"], ["test"], ["tests", "date"]])
def test_a_column_of_several_that_no_row_has_is_refused(tmp_path: Path, columns: list[str]) -> None:
    with pytest.raises(
        InputError, match=f"data.answer: no column '{columns[-1]}' in .*; it has 'level', 'meta', 'q'.*Correct data"
    ):
        read(tmp_path, answer=columns)


def test_a_subset_of_such_a_pool_is_read_with_the_same_golds(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:2]))
    data = {
        "prompt": "q",
        "answer": ["tests", "meta"],
        "where": {"level": [3, 5]},
        "path": str(tmp_path / "pool.jsonl"),
    }
    run = make_run(tmp_path / "run", data=data, verifier="exact")
    prompts = load_prompts(run)
    write_messages(tmp_path / "subset.jsonl", run, prompts)
    again = read_pool(elsewhere(run.config.data, tmp_path / "subset.jsonl"))[0]
    assert [prompt.answer for prompt in again] == [prompt.answer for prompt in prompts]
    assert len(again) == 2


@pytest.mark.parametrize(
    ("where", "taken"),
    [
        ({"level": 3}, [0]),
        ({"level": [3, 5]}, [0, 1]),
        ({"level": "5"}, [2]),
        ({"level": {"from": 4}}, [1]),
        ({"level": {"to": 5}}, [0]),
        ({"meta.date": {"from": "2024-08-01", "to": "2025-02-01"}}, [1]),
        ({"meta.date": {"to": "2025"}}, [0, 1]),
        ({"level": 5, "meta.date": {"from": "2024-08-01"}}, [1]),
        ({}, [0, 1, 2]),
    ],
)
def test_rows_are_taken_by_column_and_the_others_are_left_out(tmp_path: Path, where: Any, taken: list[int]) -> None:
    prompts, left_out, count = read(tmp_path, where=where)
    assert [prompt.row for prompt in prompts] == taken
    assert [line.row for line in left_out] == [row for row in range(3) if row not in taken]
    assert all(line.reason.startswith("not taken by data.where: ") for line in left_out)
    assert count == 3


def test_where_names_columns_that_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data.where: no column 'levl' in"):
        read(tmp_path, where={"levl": {"from": 1}})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.answer=[]", "it names no column"),
        ("data.answer=[tests, '']", "it names no column"),
        ("data.answer=[tests, a.tests]", "two columns would be 'tests'"),
        ("data.where={date: null}", "give a value, a list of values, or {from: X, to: Y}"),
        ("data.where={date: []}", "give a value"),
        ("data.where={date: {}}", "give a value"),
        ("data.where={date: {from: [1]}}", "give a value"),
        ("data.where={date: {frm: 1}}", "a range has from and to, not frm"),
    ],
)
def test_settings_that_select_nothing_are_refused(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config("demo", [setting])


def test_a_gold_of_several_columns_is_not_cut() -> None:
    with pytest.raises(InputError, match="it cuts text, but data.answer names several columns"):
        load_config("demo", ["data.answer=[a, b]", "data.answer_regex=x"])
