"""The shares of the chosen by columns of the data, counted by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from learnalign.config import DataConfig
from learnalign.errors import RunError
from learnalign.prompts import Prompt, load_prompts
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
