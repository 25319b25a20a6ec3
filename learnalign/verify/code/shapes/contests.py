"""Tests of contest tasks: APPS and TACO, LiveCodeBench, DeepCoder's parts, CodeContests, Codeforces.

How printed text is compared is what the data set's own grader does, but for its mistakes:

- APPS, TACO and PrimeIntellect's: lines without white space around them, blank ones left out, numbers nearly equal.
- LiveCodeBench: lines, numbers exactly equal as decimals.
- CodeContests: tokens in any case, numbers within 1e-5. Codeforces: the row's checker, or tokens.
"""

from __future__ import annotations

import re
from typing import Any

from learnalign.errors import short
from learnalign.inputs import json_kind
from learnalign.verify.code.cases import BadTests, Call, Cases
from learnalign.verify.code.pickled import read_pickled_text
from learnalign.verify.code.prelude import CONTESTS
from learnalign.verify.code.shapes.reading import (
    MOST_TESTS,
    Row,
    json_call,
    listed,
    memory_of,
    name_of,
    opened,
    pairs_of,
    printed,
    seconds_of,
    text_of,
)

APPS, LIVECODEBENCH, CODEFORCES, CODE_CONTESTS = "filled-lines", "decimals", "tokens", "anycase"

_PLAIN = {"comparison", "checker", "setup", "prelude", "seconds", "memory_mb"}  # keys of the plain shape alone
_LANGUAGES = {"": "python", "python": "python", "python3": "python", "cpp": "cpp", "c++": "cpp"}


def read_pairs(row: Row) -> Cases:
    """{inputs, outputs} and, for calls, fn_name: APPS, TACO, and DeepCoder's part of TACO."""
    inputs, outputs = row["inputs"], row["outputs"]
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise BadTests(f"inputs and outputs are a {json_kind(inputs)} and a {json_kind(outputs)}, not two lists")
    if len(inputs) != len(outputs):
        raise BadTests(f"{len(inputs)} inputs, but {len(outputs)} outputs")
    return _cases(list(zip(inputs, outputs, strict=True)), row.get("fn_name"), APPS, row)


def read_listed(row: Row) -> Cases:
    """A list of {input, output}: DeepCoder's parts, PrimeIntellect's `test_cases`, CodeElo's and MatrixStudio's."""
    tests = row["tests"]
    if mixed := row.keys() & _PLAIN:
        raise BadTests(f"{sorted(mixed)[0]} is for tests of stdin and stdout, or call and value, not input and output")
    functional = any(test.get("testtype") == "functional" or test.get("type") == "function_call" for test in tests)
    names = [name for test in tests if (name := _name_in(test))] or ([_name_of_row(row)] if functional else [])
    if functional and not names[0]:
        raise BadTests("the tests call a function, but do not name it")
    if any(name != names[0] for name in names):
        raise BadTests("the tests call several functions")
    comparison = LIVECODEBENCH if any("testtype" in test for test in tests) else APPS
    return _cases(pairs_of(tests, "tests"), names[0] if names else None, comparison, row)


def read_livecodebench(row: Row) -> Cases:
    """public_test_cases and private_test_cases, and metadata with the name of the function."""
    tests: list[Any] = []
    for column in ("public_test_cases", "private_test_cases"):
        held = row.get(column)
        if isinstance(held, str) and held.strip() and not held.lstrip().startswith("["):
            held = read_pickled_text(held)
        held = listed(held, column)
        pairs_of(held, column)
        tests += [{"testtype": "stdin", **test} for test in held]
    return read_listed({**row, "tests": tests})


def read_code_contests(row: Row) -> Cases:
    """public_tests, private_tests and generated_tests, each {input: […], output: […]}."""
    pairs: list[tuple[Any, Any]] = []
    for column in ("public_tests", "private_tests", "generated_tests"):
        held = opened(row.get(column), column)
        if held is None or isinstance(held, int):  # Codeforces rows have a number of generated tests
            continue
        if not isinstance(held, dict) or not all(isinstance(held.get(key), list) for key in ("input", "output")):
            raise BadTests(f"{column} has no lists input and output")
        if len(held["input"]) != len(held["output"]):
            raise BadTests(f"{column}: {len(held['input'])} inputs, but {len(held['output'])} outputs")
        pairs += zip(held["input"], held["output"], strict=True)
    for column in ("input_file", "output_file"):
        if row.get(column):
            raise BadTests(
                f"{column} {short(row[column], 40)}: the program must use a file, not standard input and output"
            )
    return _cases(pairs, None, CODE_CONTESTS, row)


def read_codeforces(row: Row) -> Cases:
    """official_tests as a list of {input, output}, with time_limit, memory_limit, input_mode and generated_checker."""
    tests = listed(row["official_tests"], "official_tests")
    if row.get("input_mode") not in (None, "", "stdio"):
        raise BadTests(
            f"input_mode {short(row['input_mode'], 40)}: the program must use files, not standard input and output"
        )
    if row.get("interaction_format"):
        raise BadTests("an interactive task: the program must talk to a judge")
    return _cases(pairs_of(tests, "official_tests"), None, CODEFORCES, row)


def _cases(pairs: list[tuple[Any, Any]], function: Any, comparison: str, row: Row) -> Cases:
    if not pairs:
        raise BadTests("no tests")
    if len(pairs) > MOST_TESTS:
        raise BadTests(f"more than {MOST_TESTS:,} tests")
    memory, language = row.get("memory_limit_bytes"), row.get("language") or ""
    if not isinstance(language, str) or language not in _LANGUAGES:
        raise BadTests(f"programs in {short(language, 40)}; known languages are python and cpp")
    common: dict[str, Any] = {
        "language": _LANGUAGES[language],
        "prelude": CONTESTS,
        "seconds": seconds_of(row.get("time_limit")),
        "memory": memory_of(f"{memory} bytes" if memory else row.get("memory_limit")),
    }
    if function:
        return Cases(calls=_calls(pairs), entry_point=name_of(function), **common)
    if checker := row.get("generated_checker"):
        common["checker"] = text_of(checker, "generated_checker")
    tests = tuple(printed(stdin, stdout, number) for number, (stdin, stdout) in enumerate(pairs, 1))
    return Cases(printed=tests, comparison=comparison, **common)


def _calls(pairs: list[tuple[Any, Any]]) -> tuple[Call, ...]:
    """Calls with their values; if all values of a row are lists of one, the one alone is right too, as for APPS' grader."""
    wrapped = all(isinstance(output, list) and len(output) == 1 for _, output in pairs)
    return tuple(_call(arguments, value, wrapped, number) for number, (arguments, value) in enumerate(pairs, 1))


def _call(arguments: Any, value: Any, wrapped: bool, number: int) -> Call:
    if isinstance(arguments, str):
        return json_call(arguments, value, number)
    if not isinstance(arguments, list):
        raise BadTests(f"the input of test {number} is a {json_kind(arguments)}, not a list of arguments")
    if any(isinstance(one, dict) and one and all(re.fullmatch("-?[0-9]+", key) for key in one) for one in arguments):
        raise BadTests(f"an argument of test {number} is a mapping of whole numbers, which JSON cannot hold")
    return Call(tuple(arguments), value, tuple(value) if wrapped else ())


def _name_in(test: Row) -> Any:
    """The function that a test names."""
    metadata = test.get("metadata")
    return test.get("fn_name") or (metadata.get("func_name") if isinstance(metadata, dict) else None)


def _name_of_row(row: Row) -> Any:
    metadata = opened(row.get("metadata"), "metadata")
    return metadata.get("func_name") if isinstance(metadata, dict) else row.get("func_name")
