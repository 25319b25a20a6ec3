"""Relations: equations, inequalities, sets by a condition, families of solutions."""

from __future__ import annotations

import re
from typing import Any

import sympy
from sympy.core.function import UndefinedFunction

from learnalign.verify import prose
from learnalign.verify.forms import (
    Assignments,
    Bracket,
    Equation,
    Family,
    Form,
    Order,
    Read,
    RealSet,
    Value,
    key,
    phrase,
)
from learnalign.verify.notation import plain_number
from learnalign.verify.readers.brackets import split, split_marks
from learnalign.verify.symbolic import parse

_BUILDER = re.compile(
    r"\\\{\s*(?:([a-z])|([a-z])\s*\\in\s*\\(?:mathbb\s*\{?R\}?|R))\s*(?:\||:)\s*(.*?)\s*\\\}", re.DOTALL
)
_INTEGERS = re.compile(
    r"[,;\s(]*(?:where|for|with)?\s*([a-z])\s*(?:\\in|∈|is an?y?)\s*(?:\\mathbb\s*\{?Z\}?|\\Z|integer|N)\s*\)?$"
)
_NAME = re.compile(r"\\?[A-Za-z]+(?:_(?:\{[^{}]*\}|\w))?'*")
SIGN = r"(?<![<>=!:])=(?!=)|<|>|\\(?:le|ge|lt|gt|ne|neq|in|approx|equiv|to)(?![A-Za-z])"
_ABSOLUTE = re.compile(r"\|\s*([a-z])\s*\|")
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


def read_set_builder(text: str, read: Read) -> Form | None:
    """Read a set by a condition: {x | x > 2}."""
    match = _BUILDER.fullmatch(text)
    return read(match[3]) if match else None


def read_family(text: str, read: Read) -> Form | None:
    """Read solutions for every integer k."""
    match = _INTEGERS.search(text)
    if match is not None:
        body, letter = text[: match.start()], match[1]
        value = parse(re.sub(r"^[^=]*=", "", body))
    else:
        letter = next(iter(re.findall(r"(?<![A-Za-z\\])[knm](?![A-Za-z])", text)), None)
        value = parse(text) if letter and "\\pi" in text and not re.search(SIGN, text) else None
        if value is None or value.free_symbols != {sympy.Symbol(letter)}:
            return None
    if not isinstance(value, sympy.Expr):
        return None
    return Family(value.subs(sympy.Symbol(letter), sympy.Symbol("k")), text=key(text))


def read_relation(text: str, read: Read) -> Form | None:
    """Read an equation, inequality or membership."""
    signs = [match.group() for match in split_marks(text, SIGN)]
    sides = split(text, SIGN)
    if not signs or "\\to" in signs or len(sides) != len(signs) + 1:
        return None
    signs = [{"\\lt": "<", "\\gt": ">", "\\neq": "\\ne"}.get(sign, sign) for sign in signs]
    if signs[-1] == "\\approx":
        named = len(sides) == 2 and _NAME.fullmatch(sides[0].strip())
        shown = sides[1:] if named or not sides[0].strip() else sides[:-1]
        return read("=".join(shown)) if len(signs) == 1 or set(signs) <= {"=", "\\approx"} else None
    if signs == ["\\in"]:
        return read(sides[1]) if _is_variable(sides[0]) else None
    if set(signs) == {"="}:
        return _equation(sides, text, read)
    if signs == ["\\ne"]:
        value = parse(sides[1])
        return (
            RealSet(sympy.Reals - sympy.FiniteSet(value), text=key(text))
            if value is not None and value.is_number and _is_variable(sides[0])
            else None
        )
    if set(signs) <= set(_FLIPPED):
        return _inequality(sides, signs, text)
    return None


def _equation(sides: list[str], text: str, read: Read) -> Form | None:
    first, last = sides[0].strip(), sides[-1].strip()
    if len(sides) == 2 and _NAME.fullmatch(last) and plain_number(first):
        first, last = last, first
    inner = [side for side in sides[1:] if prose.is_prose(side)]
    if any(prose.count_values(side) > 1 for side in inner) or (len(inner) and prose.count_values(last) == 0):
        return phrase(text)
    value = read(last)
    if len(sides) > 2 and value is not None and all(_NAME.fullmatch(side.strip()) for side in sides[:-1]):
        return Assignments(tuple((side.strip(), value) for side in sides[:-1]), text=key(text))  # a = b = 1
    names = [name.strip() for name in first.strip("()").split(",")]
    if (
        first.startswith("(")
        and isinstance(value, Bracket)
        and len(names) == len(value.items)
        and all(map(_NAME.fullmatch, names))
    ):
        return Assignments(tuple(zip(names, value.items, strict=True)), text=key(text))
    if value is None:
        return None
    left = None if prose.is_prose(first) else parse(first)
    right = value.value if isinstance(value, Value) else None
    return Equation(left, right, value, _is_name(first, left), text=key(text))


def _is_name(text: str, value: Any) -> bool:
    """Whether the left side of an equation only names its value: x, f(3), AB, \\frac{a}{b}, Area, or a calculation, 3 + 4."""
    if value is None:
        return "\\angle" in text or prose.is_prose(text) or not re.search(r"[A-Za-z\d)}]\s*[-+*/^]", text)
    if not isinstance(value, sympy.Expr) or value.is_number:
        return True
    if isinstance(value, sympy.Add) or (isinstance(value, sympy.Mul) and any(part.is_number for part in value.args)):
        return False
    if isinstance(value, sympy.Abs):
        return not {"x", "y", "t", "n"} & {symbol.name for symbol in value.free_symbols}
    if isinstance(value, sympy.Pow | sympy.log | sympy.exp | sympy.floor | sympy.ceiling):
        return False
    return all(part.exp == -1 for part in sympy.preorder_traversal(value) if isinstance(part, sympy.Pow))


def _inequality(sides: list[str], signs: list[str], text: str) -> Form | None:
    if signs[0] in (">", "\\ge") and all(sign in (">", "\\ge") for sign in signs):
        sides, signs = sides[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
    if any(sign in (">", "\\ge") for sign in signs):
        return None
    values = [parse(side) if side.strip() else None for side in sides]
    numbers = [isinstance(value, sympy.Expr) and bool(value.is_number and value.is_extended_real) for value in values]
    bound = _ABSOLUTE.fullmatch(sides[0].strip())
    if bound and len(sides) == 2 and isinstance(values[1], sympy.Expr) and numbers[1]:
        values = [-values[1], None, values[1]]
        sides, signs, numbers = [str(values[0]), bound[1], sides[1]], [signs[0]] * 2, [True, False, True]
    ends = {index for index, number in enumerate(numbers) if number}
    if len(sides) == 2 and len(ends) == 1:
        low, high = (values[0], sympy.oo) if 0 in ends else (-sympy.oo, values[1])
        if _is_variable(sides[1 if 0 in ends else 0]):
            return RealSet(
                sympy.Interval(low, high, 0 in ends and signs[0] == "<", 1 in ends and signs[0] == "<"), text=key(text)
            )
    if len(sides) == 3 and ends == {0, 2} and _is_variable(sides[1]):
        return RealSet(sympy.Interval(values[0], values[2], signs[0] == "<", signs[1] == "<"), text=key(text))
    if any(value is None for value in values):
        return None
    chain = [str(values[0])]
    for sign, value in zip(signs, values[1:], strict=True):
        chain += [sign, str(value)]
    return Order(tuple(chain), text=key(text))


def _is_variable(text: str) -> bool:
    value = None if prose.is_prose(text) else parse(text)
    capitals = isinstance(value, sympy.Mul) and all(symbol.name.startswith("q_") for symbol in value.free_symbols)
    return value is None or value.is_Symbol or capitals or isinstance(value.func, UndefinedFunction)
