"""Decides whether two answers are the same, by their forms. Two different forms are equal only by a rule listed here.

Runs in worker processes (see `reading`).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sympy

from learnalign.verify.forms import (
    Assignments,
    Based,
    Bracket,
    Choice,
    Clock,
    Date,
    Equation,
    Family,
    Form,
    Listing,
    Matrix,
    Order,
    Ratio,
    RealSet,
    Remainder,
    Value,
    Words,
)  # fmt: skip
from learnalign.verify.notation import same_number
from learnalign.verify.readers.brackets import as_set
from learnalign.verify.reading import LONGEST_ANSWER, read, read_completion, read_gold
from learnalign.verify.symbolic import has_unknown_function, same_decimal, same_value
from learnalign.verify.verdict import CORRECT, NO_ANSWER, Verdict, correct, different, shown, wrong

_UNDEFINED = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, NotImplementedError, RecursionError)

read_gold_once = lru_cache(maxsize=16_384)(read_gold)
read_once = lru_cache(maxsize=16_384)(read)


def judge_gold(answer: str) -> Verdict:
    """Judge a gold answer: 1.0 if it can be read and compared, else None and the reason."""
    gold = read_gold_once(answer)
    if isinstance(gold, str):
        return Verdict(None, gold)
    same(gold, Value(sympy.Integer(7919)))  # fails or hangs here, before any sampling, if it cannot be evaluated
    return CORRECT


@lru_cache(maxsize=16_384)
def judge_answer(answer: str, text: str, joined: str | None) -> Verdict:
    """Judge `text`, the last box or tag; `joined` is several boxes next to each other as one answer."""
    gold = read_gold_once(answer)
    if isinstance(gold, str):
        return Verdict(None, gold)
    if not text:
        return NO_ANSWER
    if len(text) > LONGEST_ANSWER:
        return wrong(text, f"the answer is longer than {LONGEST_ANSWER} characters")
    readings = [text] if joined is None or not isinstance(gold, Listing | Assignments) else [text, joined]
    try:
        forms = [form for form in map(read_once, readings) if form is not None]
        if any(same(gold, form) for form in forms):
            return correct(text if joined is None else joined)
    except _UNDEFINED as error:
        return _incomparable(text, error)
    return _wrong(gold, forms[0], text, answer) if forms else wrong(text, f"the answer {shown(text)} cannot be read")


@lru_cache(maxsize=16_384)
def judge_completion(answer: str, text: str) -> Verdict:
    """Judge a completion without a box by its stated answer, else by what its last sentence states."""
    gold = read_gold_once(answer)
    if isinstance(gold, str):
        return Verdict(None, gold)
    try:
        forms = read_completion(text)
        if any(same(gold, form) for form in forms):
            return correct(forms[0].text or text)
    except _UNDEFINED as error:
        return _incomparable(text[-60:], error)
    return _wrong(gold, forms[0], forms[0].text or text, answer) if forms else NO_ANSWER


def _incomparable(text: str, error: Exception) -> Verdict:
    """The verdict on an answer that sympy cannot evaluate; the gold can: it was compared when it was checked."""
    return wrong(text, f"the answer {shown(text)} cannot be compared ({type(error).__name__}: {shown(str(error))})")


def _wrong(gold: Form, form: Form, text: str, answer: str) -> Verdict:
    if gold.kind == form.kind:
        return different(text, answer)
    return wrong(text, f"{shown(text)} ({form.kind}) is not {shown(answer)} ({gold.kind})")


def same(gold: Form, answer: Form) -> bool:
    """Whether `answer` is `gold` in any notation."""
    if gold.text and gold.text == answer.text:
        return True
    if isinstance(gold, Equation) and isinstance(answer, Equation):
        return _same_equation(gold, answer)
    if isinstance(gold, Value) and isinstance(answer, Equation) and _is_sum_of_letters(answer.left) and answer.value:
        answer = answer.value  # m + n = 5, if m + n was asked for
    gold, answer = _bare(gold), _bare(answer)
    if (rule := _RULES.get((type(gold), type(answer)))) is not None:
        return rule(gold, answer)
    rule = _RULES.get((type(answer), type(gold)))
    return rule is not None and type(gold) is not type(answer) and rule(answer, gold)


def _bare(form: Form) -> Form:
    """The value of an equation that only names it, x = 7; the option's letter, of a text."""
    while isinstance(form, Equation) and form.named and form.value is not None:
        form = form.value
    return form


def _is_sum_of_letters(value: Any) -> bool:
    return isinstance(value, sympy.Add) and all(part.is_Symbol for part in value.args)


def _same_equation(gold: Equation, answer: Equation) -> bool:
    if gold.named and answer.named and gold.value and answer.value and _same_name(gold, answer):
        return same(gold.value, answer.value)
    sides = (gold.left, gold.right, answer.left, answer.right)
    if not all(isinstance(side, sympy.Expr) for side in sides):
        return False
    first, second = (sympy.fraction(sympy.together(one - other))[0] for one, other in (sides[:2], sides[2:]))
    if first.free_symbols != second.free_symbols or not first.free_symbols:
        return False
    ratio = sympy.cancel(sympy.expand(first) / sympy.expand(second))
    return bool(ratio.is_number and ratio != 0)


def _same_name(gold: Equation, answer: Equation) -> bool:
    """Whether the left sides may name the same: equal ones, words, a calculation (3 + 4), y and f(x), S and S_1."""
    sides = (gold.left, answer.left)
    if any(not isinstance(side, sympy.Expr) or side.is_number or has_unknown_function(side) for side in sides):
        return True
    bare = [form.text.partition("=")[0].partition("_") for form in (gold, answer)]
    return same_value(*sides) or (bare[0][0] == bare[1][0] and "" in (bare[0][2], bare[1][2]))


def _same_values(gold: Value, answer: Value) -> bool:
    if not _same_words(gold.words, answer.words):
        return False
    if gold.unit and answer.unit:
        if gold.unit.dimension != answer.unit.dimension:
            return False
        if gold.unit != answer.unit:
            return same_value(
                *(
                    form.value * _rational(form.unit.factor) + _rational(form.unit.zero)
                    for form in (gold, answer)
                    if form.unit
                )
            )
    if (gold.percent and answer.unit) or (answer.percent and gold.unit):
        return False
    if gold.percent != answer.percent and _same_plain(
        gold.value / (100 if gold.percent else 1), answer.value / (100 if answer.percent else 1), gold, answer
    ):
        return True
    return (
        _same_plain(gold.value, answer.value, gold, answer)
        or _same_angle(gold, answer)
        or _same_angle(answer, gold)
        or (len(gold.text) == 1 and gold.text.casefold() == answer.text.casefold())
    )


def _same_plain(first: Any, second: Any, gold: Value, answer: Value) -> bool:
    if gold.plain and answer.plain and gold.percent == answer.percent:
        return same_number(gold.plain, answer.plain)
    if gold.plain is None and answer.plain and same_decimal(answer.plain, first):
        return True
    if answer.plain is None and gold.plain and same_decimal(gold.plain, second):
        return True
    return same_value(first, second)


def _rational(fraction: Any) -> sympy.Rational:
    return sympy.Rational(fraction.numerator, fraction.denominator)


def _same_words(gold: Sequence[str], answer: Sequence[str]) -> bool:
    """Whether one side's words are among the other's: "increase by 20%" is not "decrease by 20%"."""
    return set(gold) <= set(answer) or set(answer) <= set(gold)


def _same_angle(degrees: Value, radians: Value) -> bool:
    """Whether `degrees` is in degrees and `radians`, a multiple of π or an arcus, is the same angle."""
    if degrees.unit is None or "plane_angle" not in degrees.unit.dimension or radians.unit is not None:
        return False
    arcs = (sympy.asin, sympy.acos, sympy.atan)
    return bool(radians.value.has(sympy.pi, *arcs)) and same_value(degrees.value * sympy.pi / 180, radians.value)


def _same_listing(gold: Listing, answer: Listing) -> bool:
    if gold.braces or answer.braces:
        return _covers(gold.items, answer.items) and _covers(answer.items, gold.items)
    return _matched(gold.items, answer.items)


def _covers(first: Sequence[Form], second: Sequence[Form]) -> bool:
    return all(any(same(item, other) for other in second) for item in first)


def _matched(gold: Sequence[Form], answer: Sequence[Form]) -> bool:
    """Whether the items are the same, as often, in any order."""
    left = list(answer)
    if len(gold) != len(left):
        return False
    for item in gold:
        found = next((index for index, other in enumerate(left) if same(item, other)), None)
        if found is None:
            return False
        del left[found]
    return True


def _in_order(gold: Sequence[Form], answer: Sequence[Form]) -> bool:
    return len(gold) == len(answer) and all(same(a, b) for a, b in zip(gold, answer, strict=True))


def _same_bracket(gold: Bracket, answer: Bracket) -> bool:
    alike = gold.brackets == answer.brackets or (
        len(gold.items) > 2 and {gold.brackets, answer.brackets} == {"()", "[]"}
    )
    return alike and _in_order(gold.items, answer.items)


def _bracket_listing(bracket: Bracket, listing: Listing) -> bool:
    return (
        bracket.brackets == "()"
        and not (listing.braces or listing.alternatives)
        and _in_order(bracket.items, listing.items)
    )


def _bracket_matrix(bracket: Bracket, matrix: Matrix) -> bool:
    cells = [cell for row in matrix.rows for cell in row]
    return 1 in (len(matrix.rows), len(matrix.rows[0])) and _in_order(bracket.items, cells)


def _same_matrix(gold: Matrix, answer: Matrix) -> bool:
    return len(gold.rows) == len(answer.rows) and all(map(_in_order, gold.rows, answer.rows))


def _set_form(gold: RealSet, answer: Form) -> bool:
    other = as_set(answer)
    return other is not None and _same_set(gold.values, other)


def _same_set(gold: Any, answer: Any) -> bool:
    if gold == answer:
        return True
    ours, theirs = ([*part.args] if isinstance(part, sympy.Union) else [part] for part in (gold, answer))
    return len(ours) == len(theirs) and all(any(_same_part(a, b) for b in theirs) for a in ours)


def _same_part(gold: Any, answer: Any) -> bool:
    if isinstance(gold, sympy.FiniteSet) and isinstance(answer, sympy.FiniteSet):
        return len(gold) == len(answer) and all(any(same_value(a, b) for b in answer) for a in gold)
    if isinstance(gold, sympy.Interval) and isinstance(answer, sympy.Interval):
        open_alike = (gold.left_open, gold.right_open) == (answer.left_open, answer.right_open)
        return open_alike and same_value(gold.start, answer.start) and same_value(gold.end, answer.end)
    return bool(gold == answer)


def _same_assignments(gold: Assignments, answer: Assignments) -> bool:
    ours, theirs = dict(gold.values), dict(answer.values)
    return ours.keys() == theirs.keys() and all(same(value, theirs[name]) for name, value in ours.items())


def _assigned_in_order(assignments: Assignments, other: Bracket | Listing) -> bool:
    return _in_order([value for _, value in assignments.values], other.items)


def _assigned_alike(assignments: Assignments, other: Value) -> bool:
    return all(same(value, other) for _, value in assignments.values)


def _same_date(gold: Date, answer: Date) -> bool:
    return (gold.month, gold.day) == (answer.month, answer.day) and gold.year in (None, answer.year)


def _same_clock(gold: Clock, answer: Clock) -> bool:
    if gold.half and answer.half:
        return gold.half == answer.half and gold.minutes % 720 == answer.minutes % 720
    late = next((clock for clock in (gold, answer) if clock.half == "p"), None)
    other = answer if late is gold else gold
    if late is not None and other.minutes >= 780:  # 16:30 is 4:30 p.m.
        return late.minutes % 720 + 720 == other.minutes
    return gold.minutes == answer.minutes


def _same_ratio(gold: Ratio, answer: Ratio) -> bool:
    a, b = gold.parts, answer.parts
    return len(a) == len(b) and all(same_value(a[0] * y, b[0] * x) for x, y in zip(a, b, strict=True))


def _ratio_value(ratio: Ratio, value: Value) -> bool:
    return (
        len(ratio.parts) == 2
        and value.unit is None
        and not value.value.is_integer
        and same_value(ratio.parts[0] / ratio.parts[1], value.value)
    )


def _clock_other(clock: Clock, other: Form) -> bool:
    return clock.ratio is not None and same(clock.ratio, other)


def _same_based(gold: Based, answer: Based) -> bool:
    return (gold.base == answer.base and gold.digits == answer.digits) or _in_base(gold) == _in_base(answer)


def _in_base(form: Based) -> int | None:
    try:
        return int(form.digits, form.base)
    except ValueError:  # a digit too large for its base
        return None


def _based_value(based: Based, value: Value) -> bool:
    return based.digits == value.text


def _same_family(gold: Family, answer: Family) -> bool:
    """Whether a + b·k and c + d·k, for all integers k, are the same values; other expressions are compared as they are."""
    k = sympy.Symbol("k")
    steps = [sympy.diff(form.value, k) for form in (gold, answer)]
    starts = [form.value.subs(k, 0) for form in (gold, answer)]
    if any(step.has(k) for step in steps) or steps[0] == 0:
        return same_value(gold.value, answer.value)
    shift = sympy.nsimplify(sympy.simplify((starts[0] - starts[1]) / steps[0]))
    return any(same_value(steps[0], sign * steps[1]) for sign in (1, -1)) and bool(shift.is_integer)


def _same_choice(gold: Choice, answer: Choice) -> bool:
    return gold.letter == answer.letter


def _choice_other(choice: Choice, other: Form) -> bool:
    if len(other.text) == 1 and other.text.isalpha():
        return choice.letter == other.text.upper()
    return choice.content is not None and same(choice.content, other)


def _letters_listing(letters: Form, listing: Listing) -> bool:
    """Whether "AB" names the options of "A, B"."""
    named = [item.letter if isinstance(item, Choice) else item.text for item in listing.items]
    return letters.text.isupper() and letters.text.isalpha() and sorted(letters.text) == sorted(named)


_RULES: dict[tuple[type[Form], type[Form]], Any] = {
    (Value, Value): _same_values,
    (Listing, Listing): _same_listing,
    (Bracket, Bracket): _same_bracket,
    (Bracket, Listing): _bracket_listing,
    (Bracket, Matrix): _bracket_matrix,
    (Matrix, Matrix): _same_matrix,
    (RealSet, RealSet): _set_form,
    (RealSet, Bracket): _set_form,
    (RealSet, Listing): lambda real, listing: listing.braces and _set_form(real, listing),
    (Assignments, Assignments): _same_assignments,
    (Assignments, Bracket): _assigned_in_order,
    (Assignments, Listing): _assigned_in_order,
    (Assignments, Value): _assigned_alike,
    (Date, Date): _same_date,
    (Clock, Clock): _same_clock,
    (Clock, Ratio): _clock_other,
    (Clock, Value): _clock_other,
    (Ratio, Ratio): _same_ratio,
    (Ratio, Value): _ratio_value,
    (Based, Based): _same_based,
    (Based, Value): _based_value,
    (Family, Family): _same_family,
    (Choice, Choice): _same_choice,
    (Choice, Value): _choice_other,
    (Choice, Words): _choice_other,
    (Choice, Listing): _choice_other,
    (Value, Listing): _letters_listing,
    (Words, Listing): _letters_listing,
    (Words, Words): operator.eq,
    (Remainder, Remainder): operator.eq,
    (Order, Order): operator.eq,
}
