"""Is what a program printed or returned right? Comparisons of printed text by name, and of returned values.

Every comparison takes (expected, printed) and takes time linear in the two texts, but for a sort in `uncmp`. The names of
testlib's standard checkers mean what they mean there, apart from how a wrong output is called wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from learnalign.verify.code.cases import Call

Comparison = Callable[[str, str], bool]

TOLERANCE = 1e-6  # relative or absolute, of a number that is not whole
_LONGEST_NUMBER = 400  # characters of what is read as a float
_NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,6})?")  # never goes back: linear
_WHOLE = re.compile(r"0|-?[1-9][0-9]*+")  # as testlib reads integers: no plus sign, no leading zeros
_PADDED = re.compile(r"[+-]?0[0-9]++")  # such as 007 or 0101, which is a text rather than a number
_INT64 = range(-(1 << 63), 1 << 63)


def right_value(call: Call, returned: Any) -> bool:
    """Whether a call returned its value, or one of the others that are right."""
    return any(same_value(expected, returned) for expected in (call.value, *call.also))


def same_value(expected: Any, returned: Any) -> bool:
    """Whether a returned value is the expected JSON value as Python's == has it, but for floats and for what JSON cannot say.

    So true is 1 and 2.0 is 2, as for the graders of every data set here. A float that is expected may be off by `TOLERANCE`, a
    whole number is exact, NaN is nothing's equal. A tuple is a list, and a whole number as a key its digits. Recurses no deeper
    than `expected` is nested.
    """
    if isinstance(expected, list):
        return (
            isinstance(returned, list | tuple)
            and len(returned) == len(expected)
            and all(map(same_value, expected, returned))
        )
    if isinstance(expected, dict):
        if not isinstance(returned, dict) or len(returned) != len(expected):
            return False
        values = {str(key) if type(key) is int else key: value for key, value in returned.items()}
        return values.keys() == expected.keys() and all(same_value(expected[key], values[key]) for key in expected)
    if isinstance(expected, float) and isinstance(returned, int | float):
        try:
            return math.isclose(expected, returned, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        except OverflowError:  # a whole number beyond every float
            return False
    return bool(expected == returned)


def _same_exactly(expected: str, printed: str) -> bool:
    return expected.removesuffix("\n") == printed.removesuffix("\n")


def _same_lines(expected: str, printed: str, *, of: Callable[[str], list[str]], same: Comparison) -> bool:
    """Whether there are as many lines, each with as many tokens, and the tokens are the same one by one."""
    if expected == printed:
        return True
    left, right = of(expected), of(printed)
    return len(left) == len(right) and all(map(partial(_same_tokens, same=same), left, right))


def _same_tokens(expected: str, printed: str, *, same: Comparison) -> bool:
    if expected == printed:
        return True
    left, right = expected.split(), printed.split()
    return len(left) == len(right) and all(
        one == other or same(one, other) for one, other in zip(left, right, strict=True)
    )


def _lines(text: str) -> list[str]:
    """The lines up to the last that is not blank."""
    return text.rstrip().split("\n")


def _inner_lines(text: str) -> list[str]:
    """The lines from the first that is not blank to the last."""
    return text.strip().split("\n")


def _filled_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if not line.isspace() and line]


def _different(expected: str, printed: str) -> bool:
    """The comparison of tokens for which only the same text will do."""
    return False


def _same_decimal(expected: str, printed: str) -> bool:
    """Whether two tokens are the same number, exactly."""
    if not (_NUMBER.fullmatch(expected) and _NUMBER.fullmatch(printed)):
        return False
    if _PADDED.fullmatch(expected) or _PADDED.fullmatch(printed):
        return False
    try:
        return Decimal(expected) == Decimal(printed)
    except InvalidOperation:
        return False


def _same_number(expected: str, printed: str) -> bool:
    """Whether two tokens are the same number; one that is expected with a point or an exponent may be off by `TOLERANCE`."""
    return _same_decimal(expected, printed) or (
        not expected.lstrip("+-").isdigit() and _near(expected, printed, TOLERANCE, TOLERANCE)
    )


def _near(expected: str, printed: str, absolute: float, relative: float) -> bool:
    left, right = _float(expected), _float(printed)
    return left is not None and right is not None and abs(left - right) <= max(absolute, relative * abs(left))


def _float(token: str) -> float | None:
    """The number that a token is; None if it is none, or too large."""
    if len(token) > _LONGEST_NUMBER or not _NUMBER.fullmatch(token):
        return None
    value = float(token)
    return value if math.isfinite(value) else None


def _anycase(expected: str, printed: str) -> bool:
    """The comparison of tokens of CodeContests' own grader."""
    return expected.lower() == printed.lower() or _near(expected, printed, 1e-5, 0.0)


def _floats(expected: str, printed: str, *, tolerance: float) -> bool:
    """rcmp4, rcmp6, rcmp9: numbers, each with an absolute or relative error of at most `tolerance`."""
    left, right = expected.split(), printed.split()
    eps = tolerance + 1e-15  # testlib's own
    return len(left) == len(right) and all(_near(one, other, eps, eps) for one, other in zip(left, right, strict=True))


def _rows(text: str) -> list[str]:
    """fcmp's lines: exactly what stands in them, but for a carriage return and blank lines at the end."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _same_rows(expected: str, printed: str) -> bool:
    return _rows(expected) == _rows(printed)


def _int64s(text: str) -> list[int] | None:
    """The numbers of a text of 64-bit integers alone, None for any other."""
    tokens = text.split()
    if not all(len(token) <= 20 and _WHOLE.fullmatch(token) for token in tokens):
        return None
    numbers = [int(token) for token in tokens]
    return numbers if all(number in _INT64 for number in numbers) else None


def _same_integers(expected: str, printed: str, *, ordered: bool) -> bool:
    left, right = _int64s(expected), _int64s(printed)
    if left is None or right is None:
        return False
    return left == right if ordered else sorted(left) == sorted(right)


def _same_huge_integer(expected: str, printed: str) -> bool:
    left, right = expected.split(), printed.split()
    return left == right and len(left) == 1 and bool(_WHOLE.fullmatch(left[0]))


def _same_answers(expected: str, printed: str, *, single: bool) -> bool:
    """yesno, nyesno: YES or NO in any case."""
    left, right = expected.upper().split(), printed.upper().split()
    return left == right and set(left) <= {"YES", "NO"} and (len(left) == 1 or not single)


def _same_cases(expected: str, printed: str) -> bool:
    """caseicmp: "Case 1: NUMBER", "Case 2: NUMBER", …"""
    left, right = _of_cases(expected), _of_cases(printed)
    return left is not None and left == right


def _of_cases(text: str) -> list[int] | None:
    tokens = text.split()
    count, rest = divmod(len(tokens), 3)
    if rest or tokens[::3] != ["Case"] * count or tokens[1::3] != [f"{number}:" for number in range(1, count + 1)]:
        return None
    return _int64s(" ".join(tokens[2::3]))


COMPARISONS: dict[str, Comparison] = {
    "lines": partial(_same_lines, of=_lines, same=_same_number),
    "exact": _same_exactly,
    "tokens": partial(_same_tokens, same=_same_number),
    "filled-lines": partial(_same_lines, of=_filled_lines, same=_same_number),
    "decimals": partial(_same_lines, of=_inner_lines, same=_same_decimal),
    "anycase": partial(_same_tokens, same=_anycase),
    "wcmp": partial(_same_tokens, same=_different),
    "lcmp": partial(_same_lines, of=_lines, same=_different),
    "fcmp": _same_rows,
    "ncmp": partial(_same_integers, ordered=True),
    "uncmp": partial(_same_integers, ordered=False),
    "hcmp": _same_huge_integer,
    "yesno": partial(_same_answers, single=True),
    "nyesno": partial(_same_answers, single=False),
    "caseicmp": _same_cases,
    **{f"rcmp{digits}": partial(_floats, tolerance=10.0**-digits) for digits in (4, 6, 9)},
}
