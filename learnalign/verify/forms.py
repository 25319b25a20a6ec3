"""The forms of an answer: what a text says once it is read. `equality` compares two of them by their form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from learnalign.verify.notation import PlainNumber
from learnalign.verify.units import Unit


@dataclass(frozen=True, slots=True)
class Form:
    """An answer that is read; `text` is its cleaned text without spaces: identical texts are always equal."""

    kind: ClassVar[str] = "answer"
    text: str = field(default="", kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Value(Form):
    """A number or expression (sympy), with its unit, and the words beside it ("increase by 20%", "72 apples").

    `plain` is set if it is written as one number.
    """

    kind: ClassVar[str] = "number or expression"

    value: Any
    plain: PlainNumber | None = None
    unit: Unit | None = None
    percent: bool = False
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing(Form):
    """Several answers: without brackets ("2, 5", "2 or 5") or as a set ("\\{2, 5\\}"); the order does not count."""

    kind: ClassVar[str] = "list"

    items: tuple[Form, ...]
    braces: bool = False
    alternatives: bool = False  # x = 2 or x = 5: several values of one name, never a point


@dataclass(frozen=True, slots=True)
class Bracket(Form):
    """(1, 2), [1, 2, 3] or (1, 2]: a tuple or an interval; the order counts."""

    kind: ClassVar[str] = "tuple or interval"

    brackets: str
    items: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class RealSet(Form):
    """A set of numbers: a union of intervals, an inequality, all real numbers."""

    kind: ClassVar[str] = "set of numbers"

    values: Any


@dataclass(frozen=True, slots=True)
class Equation(Form):
    """left = right of expressions, and `value`, the form of the last side; `named` if the left side is only a name.

    `left` is None for a name in words.
    """

    kind: ClassVar[str] = "equation"

    left: Any
    right: Any
    value: Form | None
    named: bool


@dataclass(frozen=True, slots=True)
class Assignments(Form):
    """Values of several names: x = 1, y = 2."""

    kind: ClassVar[str] = "assignment"

    values: tuple[tuple[str, Form], ...]


@dataclass(frozen=True, slots=True)
class Order(Form):
    """A chain of comparisons from the smallest, A < B ≤ C: its texts and signs in turn."""

    kind: ClassVar[str] = "chain of comparisons"

    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Date(Form):
    """A date; what is not named is None."""

    kind: ClassVar[str] = "date"

    year: int | None
    month: int
    day: int | None


@dataclass(frozen=True, slots=True)
class Clock(Form):
    """A time of day: minutes since midnight or noon, and am, pm or neither; or, without them, a ratio."""

    kind: ClassVar[str] = "time of day"

    minutes: int
    half: str
    ratio: Ratio | None


@dataclass(frozen=True, slots=True)
class Ratio(Form):
    """a : b : c of numbers or expressions."""

    kind: ClassVar[str] = "ratio"

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Based(Form):
    """Digits in a base: 10110_2."""

    kind: ClassVar[str] = "number in a base"

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Remainder(Form):
    """A quotient and a remainder, 7 R 2, or a residue and its modulus, 3 (mod 7)."""

    kind: ClassVar[str] = "remainder"

    modular: bool
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Family(Form):
    """The values of an expression for every integer `k`."""

    kind: ClassVar[str] = "family of solutions"

    value: Any


@dataclass(frozen=True, slots=True)
class Choice(Form):
    """An option's letter, and what stands behind it: (A) 12."""

    kind: ClassVar[str] = "choice"

    letter: str
    content: Form | None


@dataclass(frozen=True, slots=True)
class Matrix(Form):
    """Rows of forms."""

    kind: ClassVar[str] = "matrix"

    rows: tuple[tuple[Form, ...], ...]


@dataclass(frozen=True, slots=True)
class Words(Form):
    """Words in lower case, or a formula that cannot be parsed: compared as text alone."""

    kind: ClassVar[str] = "text"

    words: str


Read = Callable[[str], Form | None]


def key(text: str) -> str:
    """Return `text` without white space but that between digits: identical keys are equal answers."""
    return re.sub(r"\s+", "", re.sub(r"(?<=\d)\s+(?=\d)", "\x00", text)).replace("\x00", " ")


def phrase(text: str) -> Words:
    """Make the form of a sentence or phrase that is compared as text."""
    return Words(" ".join(text.casefold().split()), text=key(text))
