"""Answers are read into the right form, exactly, and no text at all makes the reading fail."""

from fractions import Fraction

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from learnalign.verify.equality import same
from learnalign.verify.forms import Assignments, Bracket, Choice, Date, Listing, RealSet, Remainder, Value, Words
from learnalign.verify.reading import read, read_gold
from learnalign.verify.symbolic import parse, same_value


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (r"\frac{3}{4}", Value),
        ("5 km north", Value),
        ("2, 5", Listing),
        (r"x = 2 \text{ or } x = 5", Listing),
        ("(2, 5)", Bracket),
        ("x = 2, y = 5", Assignments),
        ("2 < x < 5", RealSet),
        ("at least 5", RealSet),
        (r"\text{all real numbers}", RealSet),
        ("5 March 2020", Date),
        ("7 remainder 2", Remainder),
        (r"x \equiv 3 \pmod 7", Remainder),
        (r"\textbf{(A) }12", Choice),
        ("Tuesday", Words),
        ("not 9", Words),
        ("between 7 and 9", Words),
        ("5 of the 12", Words),
    ],
)
def test_a_text_is_read_into_its_form(text: str, form: type) -> None:
    assert isinstance(read(text), form)


@given(st.integers(-40, 40).filter(bool), st.integers(1, 40), st.integers(0, 12))
def test_arithmetic_is_exact(top: int, bottom: int, power: int) -> None:
    value = parse(rf"\left(\frac{{{top}}}{{{bottom}}}\right)^{{{power}}}")
    exact = Fraction(top, bottom) ** power
    assert value == sympy.Rational(exact.numerator, exact.denominator)


@given(st.integers(2, 12), st.integers(2, 6), st.integers(10**5, 10**30), st.integers(-1, 1))
def test_powers_too_large_to_compute_are_compared_by_base_and_exponent(
    base: int, order: int, exponent: int, shift: int
) -> None:
    same_power = parse(f"{base**order}^{{{exponent}}}")
    other = parse(f"{base}^{{{order * exponent + shift}}}")
    assert same_value(same_power, other) is (shift == 0)


@given(st.integers(2, 99), st.integers(2, 99), st.sampled_from(["+", "-"]))
def test_constants_are_equal_only_if_they_are_to_thirty_digits(a: int, b: int, sign: str) -> None:
    first = rf"\sqrt{{{a}}} {sign} \sqrt{{{b}}}"
    with mpmath.workdps(60):
        value = mpmath.sqrt(a) + (1 if sign == "+" else -1) * mpmath.sqrt(b)
        near = mpmath.nstr(value, 20)
        expected = value == mpmath.mpf(near)
    assert same_value(parse(first), parse(rf"{sign}\sqrt{{{b}}} + \sqrt{{{a}}}"))
    assert same_value(parse(first), parse(near)) is bool(expected)


@settings(max_examples=150, deadline=None)
@given(st.text(r"\{}()[]<>=,;:.$%^_'0127aexkπ°½ or and not at least", max_size=40))
def test_any_text_is_read_and_compared_without_an_error(text: str) -> None:
    form = read(text)
    if form is not None:
        assert same(form, form)
        same(Value(sympy.Integer(7)), form)
    read_gold(text)


@pytest.mark.parametrize(
    "gold", ["proof", "MCQ", "See solution.", "notfound", "n/a", r"\frac{1}{0}", r"\frac{1}{", "???",
             "9. Anna climbs one floor; Vera climbs five floors, so her path is five times longer."]
)  # fmt: skip
def test_a_gold_that_is_no_answer_is_refused(gold: str) -> None:
    assert isinstance(read_gold(gold), str)
