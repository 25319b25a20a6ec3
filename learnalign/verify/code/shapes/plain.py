"""The plain shape, for tests of one's own: {"tests": […]} with what else there is to say beside them."""

from __future__ import annotations

from typing import Any

from learnalign.errors import listed_briefly, short
from learnalign.inputs import json_kind
from learnalign.verify.code.cases import Assertions, BadTests, Call, Cases
from learnalign.verify.code.comparison import COMPARISONS
from learnalign.verify.code.shapes.reading import MOST_TESTS, Row, memory_of, name_of, printed, seconds_of, text_of

KEYS = (
    *("tests", "entry_point", "setup", "prelude", "language", "comparison", "checker", "seconds", "memory_mb"),
)  # fmt: skip
LANGUAGES = ("python", "cpp")


def read_plain(row: Row) -> Cases:
    """Tests of one kind: {stdin, stdout}, {call, value}, or texts that assert; the latter two need an entry_point."""
    if unknown := sorted(row.keys() - set(KEYS)):
        raise BadTests(f"unknown key {listed_briefly(map(short, unknown), 3)}; known are {', '.join(KEYS)}")
    tests = row["tests"]
    if len(tests) > MOST_TESTS:
        raise BadTests(f"more than {MOST_TESTS:,} tests")
    kinds = {_kind(test, number) for number, test in enumerate(tests, 1)}
    if len(kinds) > 1:
        raise BadTests(f"tests of several kinds ({', '.join(sorted(kinds))}); give tests of one")
    kind = kinds.pop()
    if kind != "stdin" and not row.get("entry_point"):
        raise BadTests("no entry_point, the name of the function that the tests call")
    if kind != "assert" and row.get("setup"):
        raise BadTests("setup is for tests that assert; what the program needs is its prelude")
    return Cases(**_tests(kind, tests, row), **_settings(row))


def _kind(test: Any, number: int) -> str:
    if isinstance(test, str):
        return "assert"
    for kind, keys in (("stdin", {"stdin", "stdout"}), ("call", {"call", "value"})):
        if isinstance(test, dict) and test.keys() == keys:
            return kind
    raise BadTests(f"test {number} is neither {{stdin, stdout}} nor {{call, value}} nor a text that asserts")


def _tests(kind: str, tests: list[Any], row: Row) -> dict[str, Any]:
    if kind == "stdin":
        return {"printed": tuple(printed(test["stdin"], test["stdout"], n) for n, test in enumerate(tests, 1))}
    if kind == "call":
        return {"calls": tuple(_call(test, n) for n, test in enumerate(tests, 1))}
    code = tuple(text_of(test, f"test {n}") for n, test in enumerate(tests, 1))
    return {"assertions": Assertions(code, text_of(row.get("setup") or "", "setup"))}


def _call(test: Row, number: int) -> Call:
    if not isinstance(test["call"], list):
        raise BadTests(f"the call of test {number} is a {json_kind(test['call'])}, not a list of arguments")
    return Call(tuple(test["call"]), test["value"])


def _settings(row: Row) -> dict[str, Any]:
    language, comparison = row.get("language") or "python", row.get("comparison") or "lines"
    for name, value, known in (("language", language, LANGUAGES), ("comparison", comparison, COMPARISONS)):
        if not isinstance(value, str) or value not in known:
            raise BadTests(f"unknown {name} {short(value, 40)}; known are {', '.join(known)}")
    return {
        "entry_point": name_of(row["entry_point"]) if row.get("entry_point") else None,
        "prelude": text_of(row.get("prelude") or "", "prelude"),
        "language": language,
        "comparison": comparison,
        "checker": text_of(row["checker"], "checker") if row.get("checker") else None,
        "seconds": seconds_of(row.get("seconds")),
        "memory": memory_of(row.get("memory_mb")),
    }
