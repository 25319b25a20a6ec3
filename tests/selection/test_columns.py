"""The shares of the chosen by columns of the data, counted by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learnalign.config import DataConfig
from learnalign.errors import RunError
from learnalign.prompts import Prompt, load_prompts
from learnalign.selection import columns as columns_module
from learnalign.selection import select, shares
from learnalign.selection.columns import Share, count_shares
from learnalign.summary import summarise
from tests.selection.measured import measured_run

DATA = DataConfig(path="x", prompt="question")


def prompts(rows: list[dict[str, object]]) -> list[Prompt]:
    return [Prompt(str(i), i, [], "1", None, json.dumps(row)) for i, row in enumerate(rows)]


def test_a_stored_choice_has_the_shares_of_its_rows(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0] * 4 + [4] * 20)
    result = select(run, 9)
    kinds = {prompt.id: str(json.loads(prompt.source)["kind"]) for prompt in load_prompts(run)}
    chosen = Counter(json.loads(line)["kind"] for line in result.subset.read_text(encoding="utf-8").splitlines())
    assert {share.value: share.chosen for share in result.shares} == {str(k): chosen[k] for k in range(3)}
    assert {share.column for share in result.shares} == {"kind"}
    assert sum(share.eligible for share in result.shares) == result.eligible
    assert {share.value: share.prompts for share in result.shares} == Counter(kinds.values())
    assert shares(run) == result.shares
    assert summarise(run)["selections"]["learnalign"]["shares"] == [vars(share) for share in result.shares]
    with pytest.raises(RunError, match="--method random"):
        shares(run, "random")


def test_only_columns_of_few_values_count_and_inner_ones_have_dotted_names() -> None:
    rows: list[dict[str, object]] = [
        {
            "question": "a" if i % 2 else "b",
            "answer": i % 2,
            "constant": 1,
            "many": i,
            "list": [1],
            "hard": i % 2 == 0,
            "info": {"level": 1 + i % 3, "deep": {"x": i % 2}},
            **({"note": "rare"} if i < 4 else {}),
        }
        for i in range(12)
    ]
    found = count_shares(DATA, prompts(rows), [True] * 6 + [False] * 6, [True] * 3 + [False] * 9)
    assert found == [
        Share("hard", "true", 6, 3, 2),
        Share("hard", "false", 6, 3, 1),
        Share("info.level", "1", 4, 2, 1),
        Share("info.level", "2", 4, 2, 1),
        Share("info.level", "3", 4, 2, 1),
        Share("note", "null", 8, 2, 0),
        Share("note", "rare", 4, 4, 3),
    ]


def test_small_pools_and_long_values_have_no_shares() -> None:
    assert count_shares(DATA, prompts([{"a": i % 2} for i in range(5)]), [True] * 5, [True] * 5) == []
    assert count_shares(DATA, prompts([{"a": "x" * 99 + str(i % 2)} for i in range(9)]), [True] * 9, [True] * 9) == []


def test_rows_read_by_arrow_have_the_shares_of_rows_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values: dict[str, list[Any]] = {
        "words": ["a", "é", "null", None, ""],
        "numbers": [0, 1, -7, None],
        "truths": [True, False],
        "dates": ["2020-01-01", "2021-05-06"],
        "reals": [0.5, 1.0, 2.0],
        "mixed": [1, "1", 1.5, True],
        "lists": [[1], [], None],
        "inner": [{"kind": "x", "deep": {"y": 1}}, {"kind": "z"}, {}, None],
    }
    columns = list(values)
    monkeypatch.setattr(columns_module, "MOST_COLUMNS", len(columns) + 1)
    monkeypatch.setattr(columns_module, "_ROWS", 7)
    for one in [*([name] for name in columns), columns]:
        rows: list[dict[str, object]] = []
        for _ in range(60):
            there = [name for name in one if rng.random() < 0.8]
            rows.append({name: values[name][rng.integers(len(values[name]))] for name in there})
        pool, data = prompts(rows), DataConfig(path="x", prompt="question")
        halves = rng.random(60) < 0.5
        fast = count_shares(data, pool, list(halves), list(~halves))
        with monkeypatch.context() as patch:
            patch.setattr(columns_module, "_read_fast", lambda sources, without: None)
            slow = count_shares(data, pool, list(halves), list(~halves))
        assert sorted(fast, key=repr) == sorted(slow, key=repr)
        assert (one == ["lists"]) == (fast == [])
