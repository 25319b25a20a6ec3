"""Rows of every shape become tests that right programs pass and wrong ones fail; any other text says why it cannot be used."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnalign.verify import Item, Verifier
from learnalign.verify.code.cases import BadTests, Cases
from learnalign.verify.code.comparison import COMPARISONS, right_value
from learnalign.verify.code.shapes import read_cases
from tests.verify.code.rows import BEST, ROWS, CodeRow


def passes(cases: Cases, program: str, folder: Path) -> bool:
    """Whether a program of these tests' own passes, run here: what the sandbox does, without protection."""
    if cases.printed:
        return all(
            _right(cases, test.stdin, test.stdout, _run(cases, program, test.stdin), folder) for test in cases.printed
        )
    space: dict[str, Any] = {"__name__": "program"}
    exec(cases.prelude + "\n" + program, space)
    try:
        owner = space["Solution"]() if "Solution" in space else None
        function = getattr(owner, cases.entry_point) if owner else space[str(cases.entry_point)]
        if cases.calls:
            results = [json.loads(json.dumps(function(*call.arguments))) for call in cases.calls]
            return all(map(right_value, cases.calls, results))
        assert cases.assertions
        tests: dict[str, Any] = {}
        exec(cases.assertions.setup, tests)
        tests[str(cases.entry_point)] = function
        for code in cases.assertions.code:
            exec(code, tests)
    except Exception:
        return False
    return True


def _run(cases: Cases, program: str, stdin: str) -> str:
    out = io.StringIO()
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    limit = sys.getrecursionlimit()
    try:
        with contextlib.redirect_stdout(out):
            exec(
                cases.prelude + "\nimport sys\nstdin, stdout = sys.stdin, sys.stdout\n" + program,
                {"__name__": "__main__"},
            )
    finally:
        sys.stdin = before
        sys.setrecursionlimit(limit)
    return out.getvalue()


def _right(cases: Cases, stdin: str, expected: str, printed: str, folder: Path) -> bool:
    if cases.checker is None:
        return COMPARISONS[cases.comparison](expected, printed)
    texts = {"checker.py": cases.checker, "in": stdin, "expected": expected, "printed": printed}
    for name, text in texts.items():
        (folder / name).write_text(text)
    command = [sys.executable, *(str(folder / name) for name in texts)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) == 1


def _count(cases: Cases) -> int:
    return len(cases.printed) + len(cases.calls) + len(cases.assertions.code if cases.assertions else ())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_shape_holds_tests_that_right_programs_pass_and_wrong_ones_fail(row: CodeRow, tmp_path: Path) -> None:
    cases = read_cases(row.gold)
    assert _count(cases) == row.tests
    assert [passes(cases, program, tmp_path) for program in row.right] == [True] * len(row.right)
    assert [passes(cases, program, tmp_path) for program in row.wrong] == [False] * len(row.wrong)


def test_the_verifier_judges_all_of_these_programs_right(verifier: Verifier) -> None:
    programs = [
        (row, program, reward)
        for row in ROWS
        for reward, group in ((1.0, row.right), (0.0, row.wrong))
        for program in group
    ]
    verdicts = verifier.score([Item(f"So:\n\n```python\n{program}```\n", row.gold) for row, program, _ in programs])
    wrong = [
        (row.name, program, verdict)
        for (row, program, reward), verdict in zip(programs, verdicts, strict=True)
        if verdict.reward != reward
    ]
    assert wrong == []
    assert verifier.check_golds([row.gold for row in ROWS]) == [None] * len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_columns_may_hold_json_text_or_the_value_itself(row: CodeRow) -> None:
    def opened(value: Any) -> Any:
        is_json = isinstance(value, str) and value[:1] in ("{", "[") and value[-1:] in ("}", "]")
        return json.loads(value) if is_json else value

    columns = [row.answer] if isinstance(row.answer, str) else row.answer
    values = {column: opened(row.row[column]) for column in columns if row.row[column] is not None}
    assert read_cases(json.dumps(values)) == read_cases(row.gold)


def test_limits_are_read_as_the_rows_write_them() -> None:
    def limits(**columns: Any) -> tuple[float | None, int | None]:
        cases = read_cases(json.dumps({"inputs": ["1"], "outputs": ["2"], **columns}))
        return cases.seconds, cases.memory

    assert limits() == limits(time_limit=None, memory_limit="") == limits(time_limit=0) == (None, None)
    assert limits(time_limit=2, memory_limit=256) == (2.0, 256 << 20)
    assert limits(time_limit="2.5 seconds", memory_limit="64.0 megabytes") == (2.5, 64 << 20)
    assert limits(time_limit="500 ms", memory_limit="1 GB") == (0.5, 1 << 30)
    assert limits(time_limit={"seconds": 1, "nanos": 500_000_000}, memory_limit_bytes=1000) == (1.5, 1000)


def test_values_in_a_list_of_one_are_right_alone_only_if_all_of_the_row_are_so() -> None:
    def also(*outputs: Any) -> list[tuple[Any, ...]]:
        gold = json.dumps({"fn_name": "f", "inputs": [[0]] * len(outputs), "outputs": outputs})
        return [call.also for call in read_cases(gold).calls]

    assert also([1], [2]) == [(1,), (2,)]
    assert also([1], [2, 3]) == [(), ()]
    assert also([1], []) == [(), ()]
    assert also([1], 2) == [(), ()]


def test_prelude_of_humaneval_is_what_stands_before_the_function() -> None:
    test = "def check(candidate):\n    assert candidate() == 1\n"

    def prelude(prompt: str) -> str:
        return read_cases(json.dumps({"prompt": prompt, "entry_point": "f", "test": test})).prelude

    assert prelude('import math\n\ndef f_1(): ...\n\ndef f():\n    """x"""\n') == "import math\n\ndef f_1(): ...\n\n"
    assert prelude("Write f.\nfrom typing import List\nfrom here, go on\n") == "from typing import List\n"


def test_function_of_mbpp_is_the_one_that_the_assertions_test() -> None:
    def function(*asserts: str, **columns: Any) -> str | None:
        return read_cases(json.dumps({"test_list": asserts, **columns})).entry_point

    assert function("assert set(f(1)) == set([g(2)])", "assert f(0) == 1") == "f"
    assert function("assert math.isclose(area(2), pi(1))", code="import math\ndef area(r):\n    return 2") == "area"
    assert function("assert not is_ok('f(x)')") == "is_ok"
    assert function("assert sum(10, 15) == 6", code="def sum(a, b):\n    return 6") == "sum"
    with pytest.raises(BadTests, match="no function in common"):
        function("assert f(1)", "assert g(1)")


PLAIN = {"tests": [{"stdin": "1\n", "stdout": "2\n"}]}
CALLS = {"entry_point": "f", "tests": [{"call": [1], "value": 2}]}
DEEP: list[Any] = []
for _ in range(300):
    DEEP = [DEEP]

BAD = {
    "not JSON": "print(1)",
    "cut off": '{"tests": [{"stdin": "1"',
    "a number": "7",
    "null": "null",
    "empty object": "{}",
    "no tests": '{"tests": []}',
    "tests of nothing": '{"input_output": ""}',
    "tests null": '{"tests": null}',
    "no pairs": '{"inputs": [], "outputs": []}',
    "a list of numbers": "[1, 2]",
    "other columns": '{"question": "x", "answer": "y"}',
    "unequal": '{"inputs": ["1"], "outputs": []}',
    "inputs of text": '{"inputs": "1", "outputs": "2"}',
    "NaN": '{"entry_point": "f", "tests": [{"call": [NaN], "value": 1}]}',
    "too large": '{"entry_point": "f", "tests": [{"call": [1e999], "value": 1}]}',
    "many digits": '{"entry_point": "f", "tests": [{"call": [%s], "value": 1}]}' % ("9" * 5000),
    "nested": json.dumps({"entry_point": "f", "tests": [{"call": DEEP, "value": 1}]}),
    "nested beyond Python": "[" * 100_000 + "]" * 100_000,
    "half a surrogate pair": json.dumps({"tests": [{"stdin": "\ud800", "stdout": ""}]}),
    "key twice": '{"tests": [], "tests": []}',
    "stdin of an object": json.dumps({"tests": [{"stdin": {}, "stdout": ""}]}),
    "no entry point": json.dumps({"tests": [{"call": [1], "value": 2}]}),
    "two kinds": json.dumps({"entry_point": "f", "tests": [*PLAIN["tests"], *CALLS["tests"]]}),
    "arguments in no list": json.dumps({"entry_point": "f", "tests": [{"call": 1, "value": 2}]}),
    "no name": json.dumps({**CALLS, "entry_point": "f()"}),
    "name of a list": json.dumps({**CALLS, "entry_point": ["f"]}),
    "unknown key": json.dumps({**PLAIN, "timeout": 2}),
    "unknown comparison": json.dumps({**PLAIN, "comparison": "fuzzy"}),
    "comparison of a list": json.dumps({**PLAIN, "comparison": ["lines"]}),
    "unknown language": json.dumps({**PLAIN, "language": "cobol"}),
    "setup of programs": json.dumps({**PLAIN, "setup": "x = 1"}),
    "negative limit": json.dumps({**PLAIN, "seconds": -1}),
    "limit without a number": json.dumps({**PLAIN, "memory_mb": "a lot"}),
    "limit of a boolean": json.dumps({**PLAIN, "seconds": True}),
    "enormous limit": json.dumps({**PLAIN, "seconds": 10**400}),
    "limit of texts": json.dumps({"inputs": ["1"], "outputs": ["1"], "time_limit": {"seconds": "x"}}),
    "plain key with other tests": json.dumps({"tests": [{"input": "1", "output": "2"}], "comparison": "exact"}),
    "language of another": json.dumps({"language": "rust", "tests": [{"input": "1", "output": "2"}]}),
    "functional without a name": json.dumps({"tests": [{"input": "1", "output": "2", "testtype": "functional"}]}),
    "two functions": json.dumps({"tests": [{"input": [1], "output": 2, "fn_name": name} for name in "fg"]}),
    "argument that is no JSON": json.dumps({"tests": [{"input": "x", "output": "2", "fn_name": "f"}]}),
    "mapping of numbers": json.dumps({"fn_name": "f", "inputs": [[{"1": 2}]], "outputs": [[1]]}),
    "file mode": json.dumps({"official_tests": [{"input": "", "output": "1"}], "input_mode": "file"}),
    "interactive": json.dumps({"official_tests": [{"input": "", "output": "1"}], "interaction_format": "Ask."}),
    "no official tests": json.dumps({"official_tests": []}),
    "contest with a file": json.dumps({"public_tests": {"input": ["1"], "output": ["2"]}, "input_file": "a.in"}),
    "contest without lists": json.dumps({"public_tests": {"input": "1", "output": "2"}}),
    "humaneval without check": json.dumps({"entry_point": "f", "test": "assert f() == 1"}),
    "humaneval without tests": json.dumps({"entry_point": "f", "test": " "}),
    "mbpp without tests": json.dumps({"test_list": []}),
    "cruxeval without output": json.dumps({"code": "def f(): ...", "output": ""}),
    "only empty outputs": json.dumps({"inputs": ["1", "2"], "outputs": ["", " \n"]}),
    "only null values": json.dumps({"entry_point": "f", "tests": [{"call": [1], "value": None}]}),
    "only wrapped null values": json.dumps({"fn_name": "f", "inputs": [[1]], "outputs": [[None]]}),
    "pickle of a list": json.dumps({"private_test_cases": "gARdlC4="}),
    "assertion that is no Python": json.dumps({"entry_point": "f", "tests": ["assert f(1"]}),
    "assertion too deep for Python": json.dumps({"entry_point": "f", "tests": ["assert " + "-" * 100_000 + "f()"]}),
    "setup that is no Python": json.dumps({"entry_point": "f", "test": "def check(f):\nassert f() == 1"}),
    "setup with NUL": json.dumps({"entry_point": "f", "tests": ["f()"], "setup": "x = '\0'"}),
    "checker that is no Python": json.dumps({**PLAIN, "checker": "print 1"}),
}


@pytest.mark.parametrize("gold", BAD.values(), ids=BAD)
def test_other_golds_are_refused_with_one_short_line(gold: str) -> None:
    with pytest.raises(BadTests) as caught:
        read_cases(gold)
    reason = str(caught.value)
    assert reason
    assert reason.isprintable()
    assert len(reason) < 300


_KEYS = sorted({"inputs", "outputs", "fn_name", "language", "tests"}.union(*(row.row for row in ROWS)))
_TEXTS = st.sampled_from(["", "[1]", "{}", "f", "stdin", BEST, "\x00"]) | st.text(max_size=5)
_INNER = st.sampled_from(["input", "output", "stdin", "stdout", "call", "value", "fn_name", "testtype", "seconds"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_INNER, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=5))
def test_any_json_is_read_or_refused(row: dict[str, Any]) -> None:
    try:
        cases = read_cases(json.dumps(row))
    except BadTests as error:
        assert len(str(error)) < 400
    else:
        assert _count(cases) > 0
        assert cases.comparison in COMPARISONS
