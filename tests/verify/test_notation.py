"""Plain numbers, rewrites, units and words are read exactly."""

import inspect
import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.verify import notation
from learnalign.verify.notation import as_words, clean, leading_number, plain_number, same_number, unwrap
from learnalign.verify.units import split_unit


@given(st.integers(-(10**12), 10**12), st.integers(0, 6), st.booleans())
def test_plain_decimals_are_read_exactly(number: int, decimals: int, commas: bool) -> None:
    whole, part = divmod(abs(number), 10**decimals)
    digits = f"{whole:,}" if commas else str(whole)
    text = ("-" if number < 0 else "") + digits + (f".{part:0{decimals}d}" if decimals else "")
    read = plain_number(text)
    assert read is not None
    assert read.value == Fraction(number, 10**decimals)
    assert read.decimals == decimals


@given(st.integers(-999, 999), st.integers(1, 999))
def test_plain_fractions_are_read_exactly(top: int, bottom: int) -> None:
    for text in (f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}", rf"\dfrac{{{top}}}{{{bottom}}}"):
        read = plain_number(text)
        assert read is not None
        assert read.value == Fraction(top, bottom)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1,23", "1,2,3", "12,34", "1/0", "1..2", "5%", "1e5", "--5", "1 2", "7" * 100, "½", "5 cm", "1.2.3", "٣"],
)
def test_other_text_is_not_a_plain_number(text: str) -> None:
    assert plain_number(text) is None or text == "٣"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("0.5", "1/2", True),
        ("0.333333", "1/3", True),
        ("0.33", "1/3", False),
        ("0.0000003", "0.0000004", False),
        ("123.456789", "123.456788", False),
        ("1000000", "1000001", False),
        ("-0", "0", True),
    ],
)
def test_numbers_are_compared_exactly_up_to_the_sixth_decimal(a: str, b: str, same: bool) -> None:
    first, second = plain_number(a), plain_number(b)
    assert first is not None
    assert second is not None
    assert same_number(first, second) is same


@pytest.mark.parametrize(
    ("text", "value"),
    [("$1,234 a year", 1234), ("72.", 72), ("-3 degrees", -3), ("3/4 cup", Fraction(3, 4)), ("so 5", None)],
)
def test_leading_number(text: str, value: Fraction | int | None) -> None:
    read = leading_number(text)
    assert (read and read.value) == value


@given(st.text(max_size=80))
def test_cleaning_any_text_ends_and_leaves_nothing_to_unwrap(text: str) -> None:
    assert unwrap(clean(text)) == clean(text)


def test_every_rewrite_turns_its_example_into_the_result_beside_it() -> None:
    examples = re.findall(r"^    # (.+) -> (.+)$", inspect.getsource(notation), re.MULTILINE)
    rewrites: Any = notation._REWRITES
    for (pattern, replacement), (before, after) in zip(rewrites, examples, strict=True):
        assert pattern.sub(replacement, before) == after


@pytest.mark.parametrize(
    ("text", "number", "kind"),
    [
        ("5 cm", "5", "length"),
        (r"5\text{ cm}^2", "5", "length^2"),
        ("12 square meters", "12", "length^2"),
        ("$12.50", "12.50", "us money"),
        ("72 apples", "72", None),
        ("5m", "5m", "none"),
        ("2 sin x", "2 sin x", "none"),
        ("3x", "3x", "none"),
        ("x and y", "x and y", "none"),
        ("5 feet 6 inches", "8382/5000", "length"),
    ],
)
def test_units_are_distinguished_from_variables(text: str, number: str, kind: str | None) -> None:
    value, unit = split_unit(text)
    assert (unit.kind if unit else "none") == kind
    assert value == number or Fraction(value) == Fraction(number)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(B)", "b"),
        (r"\text{New York}", "new york"),
        ("Tuesday.", "tuesday"),
        ("x^2", None),
        ("5", None),
        ("don't", "don't"),
    ],
)
def test_words(text: str, words: str | None) -> None:
    assert as_words(text) == words
