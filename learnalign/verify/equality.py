"""Decides whether two answers are the same: by their words, as numbers, as quantities, as mathematics by math-verify.

Runs in worker processes (see `reading`). math-verify's own timeouts use SIGALRM and are off: the parent kills a worker
that hangs.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import sympy
from math_verify import verify
from math_verify.grader import get_pct_val

from learnalign.verify.reading import LONGEST_ANSWER, Reading, read_answer, read_completion, read_gold
from learnalign.verify.verdict import CORRECT, NO_ANSWER, Verdict, different, shown

_BASED = re.compile(r"(-?[0-9A-Fa-f]+)_\{?(\d+)\}?")

read_gold_once = lru_cache(maxsize=16_384)(read_gold)


def judge_gold(answer: str) -> Verdict:
    """Judge a gold answer: 1.0 if it can be read and compared, else None and the reason."""
    gold = read_gold_once(answer)
    if isinstance(gold, str):
        return Verdict(None, gold)
    same(gold, Reading([sympy.Integer(7919)]))  # fails or hangs here, before any sampling, if it cannot be evaluated
    return CORRECT


def judge_answer(answer: str, text: str, joined: str | None) -> Verdict:
    """Judge `text`, the last box or tag; `joined` is several adjacent boxes as one answer."""
    gold = read_gold_once(answer)
    if isinstance(gold, str):
        return Verdict(None, gold)
    if not text:
        return NO_ANSWER
    if len(text) > LONGEST_ANSWER:
        return Verdict(0.0, f"the answer is longer than {LONGEST_ANSWER} characters")
    reading = read_answer(text)
    if same(gold, reading) or (joined is not None and _several(gold) and same(gold, read_answer(joined))):
        return CORRECT
    if not reading.values and reading.words is None:
        return Verdict(0.0, f"the answer {shown(text)} cannot be read as mathematics")
    return different(text, answer)


def judge_completion(answer: str, text: str) -> Verdict:
    """Judge a completion without a box by its stated answer, else by its last expression."""
    gold = read_gold_once(answer)
    if isinstance(gold, str):
        return Verdict(None, gold)
    readings = [reading for reading in read_completion(text) if reading.values or reading.words]
    if any(same(gold, reading) for reading in readings):
        return CORRECT
    return different(readings[0].text or str(readings[0].values[0]), answer) if readings else NO_ANSWER


def same(gold: Reading, answer: Reading) -> bool:
    """Whether `answer` equals `gold` in any notation; the unit counts if both name one."""
    if gold.words is not None and gold.words == answer.words:
        return True
    if gold.unit and answer.unit and gold.unit.kind and answer.unit.kind:
        if gold.unit.kind != answer.unit.kind:
            return False
        if gold.unit.factor != answer.unit.factor:
            return _same_values(_scaled(gold), _scaled(answer))
    if gold.text and "".join(gold.text.split()) == "".join(answer.text.split()):
        return True
    if _is_braced(gold) != _is_braced(answer) and (_is_ordered(gold) or _is_ordered(answer)):
        return False
    gold_match, answer_match = _BASED.fullmatch(gold.text), _BASED.fullmatch(answer.text)
    if gold_match and answer_match:
        value = _in_base(gold_match)
        return value is not None and value == _in_base(answer_match)
    return _same_values(gold.values, answer.values) or _same_angle(gold, answer) or _same_angle(answer, gold)


def _is_braced(reading: Reading) -> bool:
    return reading.text.startswith(("\\{", "\\left\\{"))


def _is_ordered(reading: Reading) -> bool:
    """Whether it is a point or an interval, (1, 2), not a set in braces, {1, 2}."""
    return any(isinstance(value, sympy.Interval | sympy.Tuple) for value in reading.values)


def _same_angle(degrees: Reading, radians: Reading) -> bool:
    """Whether `degrees` is in degrees and `radians` is the same angle as a multiple of π."""
    if degrees.unit is None or degrees.unit.kind != "angle" or radians.unit is not None:
        return False
    if not any(isinstance(value, sympy.Basic) and value.has(sympy.pi) for value in radians.values):
        return False
    return _same_values([value * sympy.pi / 180 for value in degrees.values], radians.values)


def _same_values(gold: list[Any], answer: list[Any]) -> bool:
    return any(_same_value(a, b) for a in gold for b in answer)


def _same_value(gold: Any, answer: Any) -> bool:
    plain_gold, plain_answer = get_pct_val(gold, gold), get_pct_val(answer, answer)
    if (plain_gold is gold) != (plain_answer is answer) and _equal(plain_gold, plain_answer):
        return True  # a percentage, written without its sign on one side
    return _equal(gold, answer)


def _equal(gold: Any, answer: Any) -> bool:
    if _is_number(gold) and _is_number(answer) and (small := _small_difference(gold, answer)) is not None:
        return small
    if isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr):
        gold, answer = _with_imaginary_unit(gold), _with_imaginary_unit(answer)
        answer = _with_symbols_of(gold, answer)
        if _refuted(gold, answer):
            return False
    return verify(gold, answer, timeout_seconds=None, allow_set_relation_comp=True, raise_on_error=True)


def _with_imaginary_unit(value: sympy.Expr) -> sympy.Expr:
    """Replace the letter i, a variable to latex2sympy, with the imaginary unit."""
    letters = [symbol for symbol in value.free_symbols if symbol.name == "i"]
    return value.subs({letter: sympy.I for letter in letters}) if letters and value not in letters else value


def _with_symbols_of(gold: sympy.Expr, answer: sympy.Expr) -> sympy.Expr:
    """Give `answer` the symbols of `gold`: latex2sympy makes x real in one formula, complex in one with an i."""
    named = {symbol.name: symbol for symbol in gold.free_symbols}
    return answer.xreplace({symbol: named.get(symbol.name, symbol) for symbol in answer.free_symbols})


def _refuted(gold: sympy.Expr, answer: sympy.Expr) -> bool:
    """Whether the two differ at a positive point; spares sympy a long search for a proof that they are equal."""
    if isinstance(gold, sympy.Symbol) or isinstance(answer, sympy.Symbol):
        return False  # math-verify reads adjacent letters as a word
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    point = {symbol: sympy.Rational(97 + 14 * number, 71) for number, symbol in enumerate(symbols)}
    try:
        a, b = complex(gold.evalf(20, subs=point)), complex(answer.evalf(20, subs=point))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, AttributeError, NotImplementedError):
        return False  # not a number at this point
    return abs(a - b) > 1e-5 * (1 + abs(a))


def _is_number(value: Any) -> bool:
    return isinstance(value, sympy.Number) and bool(value.is_finite)


def _small_difference(gold: Any, answer: Any) -> bool | None:
    """Compare small numbers by ratio: math-verify rounds to six decimals, so all below 1e-6 would be equal."""
    largest = max(abs(gold), abs(answer))
    if largest == 0 or largest >= sympy.Rational(1, 100):
        return None
    return bool(abs(gold - answer) <= largest / 1_000_000)


def _several(gold: Reading) -> bool:
    return any(isinstance(value, sympy.FiniteSet | sympy.Tuple) and len(value.args) > 1 for value in gold.values)


def _scaled(reading: Reading) -> list[Any]:
    factor = reading.unit.factor if reading.unit else 1
    return [sympy.Rational(str(factor)) * value for value in reading.values if isinstance(value, sympy.Expr)]


def _in_base(match: re.Match[str]) -> int | None:
    digits, base = match.group(1), int(match.group(2))
    try:
        return int(digits, base) if 2 <= base <= 36 else None
    except ValueError:
        return None
