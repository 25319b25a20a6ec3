"""The experiment's pools: the script makes the files, nothing of a test set is in a pool, and golds are right or wrong as they say."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from learnalign import demo
from learnalign.demo import arithmetic

POOLS = [name for name in demo.POOLS if name.startswith("demo-arithmetic")]
TESTS = ("demo-arithmetic-validation", "demo-arithmetic-test")


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]


def computed(row: dict[str, Any]) -> int:
    """The answer by Python's own reading of the question."""
    if row["kind"] == "story":
        a, b = map(int, re.findall(r"\d+", row["question"]))
        return a - b if "sells" in row["question"] else a + b
    return int(eval(row["question"].removeprefix("What is ").removesuffix("?")))


def test_the_script_makes_the_embedded_files(tmp_path: Path) -> None:
    arithmetic.write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {demo.POOLS[name].name for name in POOLS}
    for name in POOLS:
        assert rows_of(tmp_path / demo.POOLS[name].name) == rows_of(demo.POOLS[name])


def test_no_question_is_asked_twice_and_none_of_a_test_set_is_in_a_pool() -> None:
    asked = {name: [row["question"] for row in rows_of(demo.POOLS[name])] for name in POOLS}
    assert all(len(set(questions)) == len(questions) for questions in asked.values())
    for test in TESTS:
        assert not any(set(asked[test]) & set(questions) for name, questions in asked.items() if name != test)
    assert {name: len(questions) for name, questions in asked.items()} == {
        name: 400 if name == TESTS[0] else 850 if name == TESTS[1] else 1200 for name in POOLS
    }


@pytest.mark.parametrize("name", POOLS)
def test_golds_are_right_but_for_a_quarter_of_one_pool(name: str) -> None:
    rows = rows_of(demo.POOLS[name])
    wrong = [row for row in rows if int(row["answer"]) != computed(row)]
    assert len(wrong) == (300 if name.endswith("wrong-golds") else 0)
    assert all(row["gold"] == "wrong" for row in wrong)
    assert all(f"\\boxed{{{row['answer']}}}" in row["solution"] for row in rows)


def test_the_regimes_are_what_they_are_called() -> None:
    kinds = {name: Counter(row["kind"] for row in rows_of(demo.POOLS[name])) for name in POOLS}
    assert kinds["demo-arithmetic-one-family"]["sum"] == kinds["demo-arithmetic-chains"]["chain"] == 0.8 * 1200
    easy_and_impossible = ("digit_sum", "digit_product", "long_product")
    plain, extremes = kinds["demo-arithmetic"], kinds["demo-arithmetic-extremes"]
    assert all(extremes[kind] == 2 * plain[kind] for kind in easy_and_impossible)
