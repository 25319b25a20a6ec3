"""Golds of public data sets against themselves and against the next row's, if LEARNALIGN_DATA_SETS names their directory.

The directory has `gsm8k/test.jsonl` and `gsm8k/train.jsonl` (question, answer), `svamp.json` (Answer),
`mawps_singleop.jsonl` (target) and `math500.jsonl` (answer); what it lacks is skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from learnalign.verify import Item, open_verifier

FOLDER = os.environ.get("LEARNALIGN_DATA_SETS")
# Formulas as MATH-500 has them, each another answer than its neighbours.
SAMPLE = [
    r"\left( 3, \frac{\pi}{2} \right)", r"\frac{14}{3}", "9", r"\text{Evelyn}", "42", "27", r"90^\circ", r"3\sqrt{13}",
    "4", "2220", r"\frac{3}{56}", "284", "5", r"\sqrt{51}", "6 - 5i", "-50", r"\pi", "28", r"\frac{3}{2}, -7",
    r"x^3 + 3x - 6", r"[-2,7]", r"\text{even}", "70,000", r"1 \pm \sqrt{19}", r"\begin{pmatrix} -2 \\ 16 \end{pmatrix}",
    r"\$36", r"2516_8", r"(-\infty, 2) \cup (3, \infty)", r"11\sqrt2", r"15\mbox{ cm}^2", r"\text{(C)}", "y = 2x + 3",
]  # fmt: skip


def _rows(name: str) -> list[dict[str, Any]]:
    if FOLDER is None:
        pytest.skip("LEARNALIGN_DATA_SETS does not name a directory with the data sets")
    path = Path(FOLDER) / name
    if not path.exists():
        pytest.skip(f"LEARNALIGN_DATA_SETS has no {name}")
    text = path.read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = (
        json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.split("\n") if line.strip()]
    )
    assert rows
    return rows


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _boxed(gold: str) -> str:
    return rf"So it is \boxed{{{gold}}}."


def _wrong(verifier: str, golds: list[str], completions: list[str], right: list[bool]) -> list[str]:
    """What is not judged as `right` says, one line each."""
    with open_verifier(verifier, workers=2, timeout=60) as judge:
        verdicts = judge.score([Item(text, gold) for text, gold in zip(completions, golds, strict=True)])
    return [
        f"{gold!r} / {text[-80:]!r} is {verdict.reward} ({verdict.reason})"
        for gold, text, verdict, equal in zip(golds, completions, verdicts, right, strict=True)
        if verdict.reward != float(equal)
    ]


def _check(verifier: str, golds: list[str], completions: list[str], values: list[str]) -> None:
    """Each completion answers its own row, and the next row's only if the two have the same value."""
    assert _wrong(verifier, golds, completions, [True] * len(golds)) == []
    shifted = completions[1:] + completions[:1]
    equal = [a == b for a, b in zip(values, values[1:] + values[:1], strict=True)]
    assert _wrong(verifier, golds, shifted, equal) == []


@pytest.mark.slow
def test_formulas_are_right_for_themselves_and_no_other_row() -> None:
    _check("math", SAMPLE, [_boxed(gold) for gold in SAMPLE], SAMPLE)
    _check("boxed", SAMPLE, [_boxed(gold) for gold in SAMPLE], SAMPLE)


def test_no_two_of_the_formulas_are_equal() -> None:
    golds = [gold for gold in SAMPLE for _ in SAMPLE]
    completions = [_boxed(other) for _ in SAMPLE for other in SAMPLE]
    equal = [gold is other for gold in SAMPLE for other in SAMPLE]
    assert _wrong("math", golds, completions, equal) == []


@pytest.mark.slow
@pytest.mark.parametrize("verifier", ["gsm8k", "math"])
@pytest.mark.parametrize("part", ["test", "train"])
def test_gsm8k_solutions_are_right_for_their_own_row_only(part: str, verifier: str) -> None:
    solutions = [row["answer"] for row in _rows(f"gsm8k/{part}.jsonl")]
    values = [solution.rpartition("####")[2].strip().replace(",", "") for solution in solutions]
    _check(verifier, solutions, solutions, values)
    _check(verifier, values, solutions, values)


@pytest.mark.slow
@pytest.mark.parametrize("verifier", ["math", "boxed"])
@pytest.mark.parametrize(("name", "column"), [("svamp.json", "Answer"), ("mawps_singleop.jsonl", "target")])
def test_numbers_are_right_for_their_own_row_only(name: str, column: str, verifier: str) -> None:
    numbers = [row[column] for row in _rows(name)]
    golds = [str(number) for number in numbers]
    _check(verifier, golds, [_boxed(_plain(number)) for number in numbers], [_plain(number) for number in numbers])


@pytest.mark.slow
@pytest.mark.parametrize("verifier", ["math", "boxed"])
def test_math500_golds_are_right_for_their_own_row_only(verifier: str) -> None:
    golds = [row["answer"] for row in _rows("math500.jsonl")]
    _check(verifier, golds, [_boxed(gold) for gold in golds], golds)
