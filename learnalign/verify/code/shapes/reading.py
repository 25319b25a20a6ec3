"""What the readers of all shapes share: values of a row, checked, or a BadTests that says what is wrong."""

from __future__ import annotations

import math
import re
from typing import Any

from learnalign.errors import one_line, short
from learnalign.inputs import json_kind, parse_json
from learnalign.verify.code.cases import BadTests, Call, Printed

Row = dict[str, Any]

MOST_TESTS = 100_000
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3}
_BYTES: dict[str, float] = {
    "": 1 << 20,
    "megabytes": 1 << 20,
    "megabyte": 1 << 20,
    "mb": 1 << 20,
    "mib": 1 << 20,
    "kilobytes": 1 << 10,
}
_BYTES |= {"kb": 1 << 10, "gigabytes": 1 << 30, "gb": 1 << 30, "bytes": 1, "byte": 1}


def parse(text: str, name: str) -> Any:
    """The value of a JSON text that is called `name`."""
    try:
        return parse_json(text, finite=True)
    except ValueError as error:
        raise BadTests(f"{name} is malformed JSON: {one_line(error, 120)}") from None


def opened(value: Any, name: str) -> Any:
    """The value in a column that holds a list or an object, or the JSON text of one; None if it holds nothing."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return parse(value, name) if isinstance(value, str) else value


def text_of(value: Any, name: str) -> str:
    """A text, which can be written as UTF-8."""
    if not isinstance(value, str):
        raise BadTests(f"{name} is a {json_kind(value)}, not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadTests(f"{name} has half a surrogate pair") from None
    return value


def stream(value: Any, name: str) -> str:
    """Standard input or output: a text, or its lines as a list."""
    if isinstance(value, list) and not any(isinstance(line, list | dict) for line in value):
        return "\n".join(text_of(line, name) if isinstance(line, str) else _plain(line) for line in value)
    return text_of(_plain(value) if isinstance(value, int | float) else value, name)


def _plain(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # a whole number of more digits than Python prints
        raise BadTests("a number of too many digits") from None


def printed(stdin: Any, stdout: Any, number: int) -> Printed:
    """A test of standard input and output; `number` is its place, from 1."""
    return Printed(stream(stdin, f"the input of test {number}"), stream(stdout, f"the output of test {number}"))


def json_call(stdin: str, stdout: Any, number: int) -> Call:
    """A call as LiveCodeBench writes it: one argument a line, and the value, each as JSON."""
    lines = stdin.split("\n")
    arguments = tuple(parse(line, f"an argument of test {number}") for line in lines if line.strip())
    return Call(arguments, parse(text_of(stdout, f"the value of test {number}"), f"the value of test {number}"))


def name_of(value: Any, name: str = "the entry point") -> str:
    """The name of a function."""
    text = text_of(value, name).strip().removeprefix("Solution().")
    if not all(part.isidentifier() for part in text.split(".")):
        raise BadTests(f"{name} {short(text, 60)} is not the name of a function")
    return text


def listed(value: Any, name: str) -> list[Any]:
    """A column that holds a list, the JSON text of one, a single text, or nothing."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [value] if value.strip() else []
    held = opened(value, name)
    if held is not None and not isinstance(held, list):
        raise BadTests(f"{name} is a {json_kind(held)}, not a list")
    return held or []


def pairs_of(tests: list[Any], name: str) -> list[tuple[Any, Any]]:
    """The inputs and outputs of a list of {input, output}."""
    if not all(isinstance(test, dict) and {"input", "output"} <= test.keys() for test in tests):
        raise BadTests(f"{name} is no list of objects with input and output")
    return [(test["input"], test["output"]) for test in tests]


def seconds_of(value: Any) -> float | None:
    """A limit of time in seconds: a number, a text such as "2 seconds", or {seconds, nanos}."""
    if isinstance(value, dict) and value.keys() <= {"seconds", "nanos"}:
        whole, nanos = (_number(value.get(key) or 0, "time limit") for key in ("seconds", "nanos"))
        return _limit(whole + nanos * 1e-9, "time limit")
    return _amount(value, _SECONDS, "time limit")


def memory_of(value: Any) -> int | None:
    """A limit of memory in bytes, of a number of megabytes or a text such as "256 megabytes"."""
    amount = _amount(value, _BYTES, "memory limit")
    return None if amount is None else int(amount)


def _amount(value: Any, units: dict[str, float], name: str) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        match = _AMOUNT.fullmatch(value) if len(value) < 100 else None
        if not match or match[2].lower() not in units:
            raise BadTests(f"the {name} {short(value, 40)} is no amount")
        return _limit(float(match[1]) * units[match[2].lower()], name)
    return _limit(_number(value, name) * units[""], name)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTests(f"the {name} is a {json_kind(value)}, not a number")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _limit(value: float, name: str) -> float | None:
    """A limit that limits something; None for 0, by which some rows say that they know none."""
    if not 0 <= value < 1 << 53:
        raise BadTests(f"the {name} {value:g} is no limit")
    return value or None
