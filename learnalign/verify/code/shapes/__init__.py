"""The tests of a row, whatever its data set calls them: told apart by their keys."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from typing import Any

from learnalign.errors import listed_briefly, one_line, short
from learnalign.inputs import json_kind
from learnalign.verify.code.cases import BadTests, Cases
from learnalign.verify.code.shapes.contests import (
    read_code_contests,
    read_codeforces,
    read_listed,
    read_livecodebench,
    read_pairs,
)
from learnalign.verify.code.shapes.functions import read_cruxeval_input, read_humaneval, read_mbpp
from learnalign.verify.code.shapes.plain import read_plain
from learnalign.verify.code.shapes.reading import Row, opened, parse

# In the order in which they are tried: the columns that a shape must have, and its reader.
_SHAPES: tuple[tuple[frozenset[str], Callable[[Row], Cases]], ...] = (
    (frozenset({"inputs", "outputs"}), read_pairs),
    (frozenset({"private_test_cases"}), read_livecodebench),
    (frozenset({"public_test_cases"}), read_livecodebench),
    (frozenset({"official_tests"}), read_codeforces),
    (frozenset({"public_tests"}), read_code_contests),
    (frozenset({"private_tests"}), read_code_contests),
    (frozenset({"generated_tests"}), read_code_contests),
    (frozenset({"test_list"}), read_mbpp),
    (frozenset({"test", "entry_point"}), read_humaneval),
    (frozenset({"code", "output"}), read_cruxeval_input),
)
_HOLDERS = (
    "reward_model",
    "ground_truth",
    "input_output",
    "verification_info",
)  # columns that hold the tests' own object
_NAMES = ("tests", "test_cases")
_KNOWN = {*_HOLDERS, *_NAMES}.union(*(columns for columns, _ in _SHAPES))


def read_cases(answer: str) -> Cases:
    """The tests in a gold answer, JSON text of one of the shapes of learnalign/verify/code/README.md.

    Raises BadTests, with the reason in one line, for any other text, and for tests that a program would pass by doing nothing.
    """
    cases = _read(_row(parse(answer, "the gold answer")))
    if cases.printed and cases.checker is None and not any(test.stdout.strip() for test in cases.printed):
        raise BadTests("every expected output is empty: a program that does nothing would pass")
    if cases.assertions is not None:
        for number, code in enumerate((cases.assertions.setup, *cases.assertions.code)):
            _check_python(code, f"assertion {number}" if number else "what runs before the assertions")
    if cases.checker is not None:
        _check_python(cases.checker, "the checker")
    if cases.calls and all(None in (call.value, *call.also) for call in cases.calls):
        raise BadTests("every expected value is null: a function that does nothing would pass")
    return cases


def _check_python(text: str, name: str) -> None:
    """Raise BadTests if code of the row cannot be run, whatever the program is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        raise BadTests(f"{name} is no Python: {error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadTests(f"{name} is no Python: {one_line(error, 120)}") from None


def _read(row: Row) -> Cases:
    for columns, read in _SHAPES:
        if columns <= row.keys():
            return read(row)
    if "tests" not in row:
        raise BadTests(f"unknown shape: no tests in {listed_briefly(map(short, row), 8) or 'an empty object'}")
    tests = row["tests"]
    if not isinstance(tests, list):
        raise BadTests(f"tests is a {json_kind(tests)}, not a list")
    if not tests:
        raise BadTests("no tests")
    listed = all(isinstance(test, dict) and {"input", "output"} <= test.keys() for test in tests)
    return read_listed(row) if listed else read_plain(row)


def _row(value: Any) -> Row:
    """The object with the tests: columns that hold it opened, a list of tests alone under `tests`."""
    if isinstance(value, str):  # JSON in JSON
        value = parse(value, "the gold answer")
    row = {"tests": value} if isinstance(value, list) else value
    if not isinstance(row, dict):
        raise BadTests(f"the gold answer is a {json_kind(row)}, not an object or a list of tests")
    only = [name for name in row if len(row) == 1 and name not in _KNOWN]  # one column, whatever it is called
    for name in (*only, *_HOLDERS, *_NAMES):
        if name not in row:
            continue
        held = opened(row[name], name)
        rest = {key: other for key, other in row.items() if key != name}
        if isinstance(held, dict):
            row = {**rest, **held}
        elif held is None:
            raise BadTests("no tests")
        else:
            row = {**rest, "tests": held}
    return row
