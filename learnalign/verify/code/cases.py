"""The tests of one row: what a program reads and must print, calls and their values, or Python assertions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class BadTests(Exception):
    """A gold answer that holds no tests that can be run; the message is the reason, one line."""


@dataclass(frozen=True, slots=True)
class Printed:
    """One test of a whole program: its standard input and the standard output that it must print."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the entry point with JSON values, and the JSON value that it must return.

    `also` are other values that are right: APPS and TACO wrap some values in a list, and their graders take both.
    """

    arguments: tuple[Any, ...]
    value: Any
    also: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Assertions:
    """Python code that calls the entry point and asserts; it never runs in the program's process.

    Args:
        code: the statements that assert, one text per test.
        setup: what runs once before them: imports, helpers of the row's prompt.
    """

    code: tuple[str, ...]
    setup: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """The tests of a row; exactly one of `printed`, `calls` and `assertions` is not empty.

    Args:
        entry_point: the function that `calls` and `assertions` use; the method of that name if the program has a class
            Solution with one.
        prelude: Python code before the program: the imports that the row's prompt or its graders give.
        language: of the program, if its fence does not say; `python` or `cpp`.
        comparison: how printed text is compared, of `comparison.COMPARISONS`.
        checker: a Python program that decides instead: `checker.py INPUT EXPECTED PRINTED` prints a number, 1 if right.
        seconds, memory: limits of one test, in seconds and bytes, if the row has some.
    """

    printed: tuple[Printed, ...] = ()
    calls: tuple[Call, ...] = ()
    assertions: Assertions | None = None
    entry_point: str | None = None
    prelude: str = ""
    language: str = "python"
    comparison: str = "lines"
    checker: str | None = None
    seconds: float | None = None
    memory: int | None = None
