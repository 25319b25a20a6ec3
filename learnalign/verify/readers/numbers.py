"""Numbers: plain ones, quantities, ratios, bases, remainders, formulas."""

from __future__ import annotations

import re

import sympy

from learnalign.verify import prose
from learnalign.verify.forms import Based, Form, Ratio, Read, RealSet, Remainder, Value, key
from learnalign.verify.notation import plain_number
from learnalign.verify.readers.brackets import split
from learnalign.verify.readers.sentences import number_word
from learnalign.verify.symbolic import parse
from learnalign.verify.units import compound, split_unit

_BASED = re.compile(r"\(?(-?[0-9A-Fa-f]+)\)?\s*_\s*\{?\s*(\d+|[a-z]+)\s*\}?")
_REMAINDER = re.compile(r"(\d+)\s*,?\s*(?:with (?:a )?)?(?:remainder|rem\.?|R)\s*(?:of )?(\d+)", re.IGNORECASE)
_CONGRUENCE = re.compile(
    r"(?:[a-z]\s*(?:\\equiv|≡|=)\s*)?(-?\d+)\s*\(?\s*(?:\\pmod|\\mod|\\bmod|mod)\s*\{?\s*(\d+)\s*\}?\s*\)?"
)
_ORDINAL = re.compile(r"(\d+)\s*\^?\s*\{?\s*(?:st|nd|rd|th)\s*\}?")


def read_plain(text: str, read: Read) -> Form | None:
    """Read one plain number, or an ordinal (3rd)."""
    plain = plain_number(text) if "$" not in text else None  # a currency is a unit
    if plain is None:
        ordinal = _ORDINAL.fullmatch(text)
        plain = plain_number(ordinal[1]) if ordinal else None
    return (
        Value(sympy.Rational(plain.value.numerator, plain.value.denominator), plain, text=key(text)) if plain else None
    )


def read_compound(text: str, read: Read) -> Form | None:
    """Read a quantity of several parts: 2 hours 15 minutes."""
    return read_quantity(text, read) if compound(text) else None


def read_based(text: str, read: Read) -> Form | None:
    """Read digits in a base: 10110_2."""
    match = _BASED.fullmatch(text)
    if match is None:
        return None
    base = int(match[2]) if match[2].isdigit() else (number_word(match[2]) or 0)
    digits = match[1].lstrip("-")
    fits = 2 <= base <= 36 and digits[0].isdigit() and all(int(digit, 36) < max(base, 11) for digit in digits)
    return Based(match[1].upper(), base, text=key(text)) if fits else None


def read_remainder(text: str, read: Read) -> Form | None:
    """Read 7 R 2, and x ≡ 3 (mod 7)."""
    for modular, pattern in ((False, _REMAINDER), (True, _CONGRUENCE)):
        if match := pattern.fullmatch(text):
            first, second = int(match[1]), int(match[2])
            return Remainder(modular, first % second if modular and second else first, second, text=key(text))
    return None


def read_ratio(text: str, read: Read) -> Form | None:
    """Read a : b : c."""
    parts = split(text, r":|\bto\b")
    if len(parts) < 2 or prose.is_prose(re.sub(r"\bto\b", ":", text)):
        return None
    values = [parse(part) for part in parts]
    return (
        Ratio(tuple(values), text=key(text))
        if all(isinstance(value, sympy.Expr) and value != 0 for value in values)
        else None
    )


def read_quantity(text: str, read: Read) -> Form | None:
    """Read a number with a unit, a currency, a percent sign or a label."""
    number, unit, label = split_unit(text)
    if unit is None and not label and number == text and not text.rstrip().endswith("%"):
        return None
    percent = number.rstrip().endswith("%")
    plain = plain_number(number.strip(" %\\"))
    if label and plain is None and unit is None:
        return None
    value = (
        sympy.Rational(plain.value.numerator, plain.value.denominator)
        if plain
        else parse(number.rstrip(" %\\") if percent else number)
    )
    if not isinstance(value, sympy.Expr) or prose.is_prose(number):
        return None
    meant = tuple(prose.split_sentence(label)[1])
    return Value(value, plain, unit, percent, meant, text=key(text))


def read_formula(text: str, read: Read) -> Form | None:
    """Read any other mathematics."""
    if prose.is_prose(text):
        return None
    value = parse(text)
    if isinstance(value, sympy.Set):
        return RealSet(value, text=key(text))
    return Value(value, text=key(text)) if isinstance(value, sympy.Expr) else None
