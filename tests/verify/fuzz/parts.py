"""Generated answer pairs whose right verdict follows from exact values, not from any verifier.

A family draws a value and states it in several notations (`golds`, and `others` that are right answers but no golds),
next to values that its own exact arithmetic says are different (`wrong`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple


class Sample(NamedTuple):
    """Notations of one value, notations accepted only as an answer to it, and notations of other values."""

    golds: list[str]
    others: list[str]
    wrong: list[str]
    is_text: bool = False


class FuzzPair(NamedTuple):
    family: str
    gold: str
    completion: str


MATH = [
    r"\boxed{%s}",
    r"So the answer is $\boxed{%s}$.",
    "The answer is $%s$.",
    "Final answer: $%s$",
    "**Answer:** $%s$",
]
TEXT = [r"\boxed{%s}", r"\boxed{\text{%s}}", "The answer is %s.", "**Answer:** %s", "<think>Hm, 1?</think>Answer: %s"]


def stated(rng: random.Random, form: str, is_text: bool) -> str:
    frame = rng.choice(TEXT if is_text else MATH)
    if "boxed" in frame and is_text:
        form = form.replace("$", r"\$").replace("%", r"\%")
    return frame.replace("%s", form)


def as_decimal(value: Fraction) -> str:
    """The terminating decimal of a value whose denominator divides a power of ten."""
    places = next(k for k in range(60) if (value * 10**k).denominator == 1)
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (digits[:-places] + "." + digits[-places:] if places else digits)


def as_fraction(value: Fraction, command: str = "frac") -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\{command}{{{abs(value.numerator)}}}{{{value.denominator}}}"


def near_values(value: Fraction, step: Fraction = Fraction(1)) -> list[Fraction]:
    """Other values: the sign, the last digit, the point."""
    values = [-value, value + step, value - step, value * 10, value / 10, value + 10 * step]
    return [other for other in values if other != value]


def nonzero(rng: random.Random, top: int) -> int:
    return rng.choice([-1, 1]) * rng.randint(1, top)


def distinct(rng: random.Random, count: int, top: int = 12) -> list[int]:
    return rng.sample([n for n in range(-top, top + 1) if n], count)


def sum_of(coefficients: Iterable[tuple[int, str]]) -> str:
    """A sum such as 3x^2-x+4 from coefficients and monomials."""
    text = ""
    for number, monomial in coefficients:
        if number:
            size = "" if abs(number) == 1 and monomial else str(abs(number))
            text += ("-" if number < 0 else "+" if text else "") + size + monomial
    return text or "0"
