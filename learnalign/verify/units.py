"""Units: split from the number, and converted if both sides name one ("60 minutes" is "1 hour")."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """What it measures and its size in base units; `kind` is None for a word that only labels the number."""

    kind: str | None
    factor: Fraction


_SCALES = {
    "length": {
        "m meter meters metre metres": "1", "km kilometer kilometers kilometre kilometres": "1000",
        "cm centimeter centimeters centimetre centimetres": "0.01",
        "mm millimeter millimeters millimetre millimetres": "0.001", "in inch inches": "0.0254",
        "ft foot feet": "0.3048", "yd yard yards": "0.9144", "mi mile miles": "1609.344",
    },
    "mass": {
        "g gram grams": "1", "kg kilogram kilograms": "1000", "mg milligram milligrams": "0.001",
        "ton tons tonne tonnes": "1000000",
        "lb lbs pound pounds": "453.59237", "oz ounce ounces": "28.349523125",
    },
    "time": {
        "s sec secs second seconds": "1", "min mins minute minutes": "60", "h hr hrs hour hours": "3600",
        "day days": "86400",
        "week weeks": "604800", "ms millisecond milliseconds": "0.001",
    },
    "calendar": {"month months": "1", "year years yr yrs": "12"},
    "volume": {"l L liter liters litre litres": "1", "ml mL milliliter milliliters millilitre millilitres": "0.001"},
    "us money": {"$ usd dollar dollars": "1", "¢ cent cents": "0.01"},
    "euros": {"€ eur euro euros": "1"},
    "yen": {"¥ yen": "1"},
    "rupees": {"₹ rs rupee rupees": "1"},
    "speed": {"m/s": "1", "km/h kmh kph": "1/3.6", "mph": "0.44704"},
    "before noon": {"am a.m": "1"},
    "after noon": {"pm p.m": "1"},
    "angle": {"degree degrees deg": "1", "rad radian radians": "57.29577951308232"},
}  # fmt: skip
_UNITS = {
    name: Unit(kind, Fraction(value.partition("/")[0]) / Fraction(value.partition("/")[2] or "1"))
    for kind, scale in _SCALES.items()
    for names, value in scale.items()
    for name in names.split()
}
_SINGLE_LETTERS = frozenset("mgshlL")  # only after a space: "5 m" is a length, "5m" a product
_NOT_LABELS = {
    "and", "or", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "pi", "mod", "choose", "times",
    "over", "divided", "plus", "minus", "percent",
}  # fmt: skip
_POWERS = {"sq": 2, "square": 2, "cubic": 3, "cu": 3}

_TEXT_UNIT = re.compile(
    r"(?P<value>.*?)\s*\\(?:text|mathrm|mbox|textrm|textbf|textit|mathit|mathbf|operatorname|rm)\s*\{(?P<unit>[^{}]*)\}"
    r"(?:\^\{?(?P<power>-?\d)\}?)?"
)
_BARE_UNIT = re.compile(r"(?P<value>.*?[\d)}\s$])(?P<unit>[A-Za-z][A-Za-z/. -]*|¢)(?:\^\{?(?P<power>-?\d)\}?)?")
_CJK_UNIT = re.compile(r"(?P<value>.*?[\d)}\s$%])(?P<unit>[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+)(?P<power>)")
_DEGREES = re.compile(r"(?P<value>.*\d)\s*\^\s*\{?\s*\\circ\s*\}?\s*(?:C|F|\\(?:text|mathrm)\s*\{\s*[CF]\s*\})?")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\b")
_CURRENCY = re.compile(r"(?P<sign>-?)\s*(?P<unit>\\?\$|€|£|¥|₹|\\text\s*\{\s*\$\s*\}|USD|EUR|US\$)\s*(?P<value>[^$]*)")
_NUMBER = re.compile(r"[-+]?\s*\\?\$?[\d.,:]*\d[\d.,]*(?:\s*/\s*\d+)?|[-+]?\d*\s*\\[dtc]?frac\s*\{-?\d+\}\s*\{\d+\}")
_PART = re.compile(r"\s*(?:,|and)?\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\.?")  # of 5 feet 6 inches
_LONGEST = 400


def split_unit(text: str) -> tuple[str, Unit | None]:
    """Split `text` into number and unit; returns `text` and None if it is not a number with a unit.

    Other words ("72 apples") are a label, dropped only after a plain number: "2 sin x" is unchanged.
    """
    if len(text) > _LONGEST:
        return text, None
    if compound := _compound(text):
        return compound
    if match := _CURRENCY.fullmatch(text):
        value, unit = split_unit(match["value"])
        symbol = match["unit"].strip("\\ ").replace("text{", "").strip("} ").lower().removeprefix("us")
        return match["sign"] + value, unit or _UNITS.get(symbol or "usd", Unit(None, Fraction(1)))
    if (match := _DEGREES.fullmatch(text)) and not _TRIGONOMETRY.search(text):
        return match["value"], Unit("angle", Fraction(1))
    for pattern in (_TEXT_UNIT, _BARE_UNIT, _CJK_UNIT):
        if (match := pattern.fullmatch(text)) and (unit := _unit(match, bare=pattern is _BARE_UNIT)):
            return match["value"].strip(), unit
    return text, None


def _compound(text: str) -> tuple[str, Unit] | None:
    """Add up several parts of one kind in base units: 7 hours 30 minutes."""
    bare = re.sub(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}", r" \1 ", text).strip()
    parts = _PART.findall(bare)
    units = [_UNITS.get(name) or _UNITS.get(name.lower()) for _, name in parts]
    if len(parts) < 2 or _PART.sub("", bare).strip() or len({unit and unit.kind for unit in units}) != 1:
        return None
    total = sum(Fraction(number) * unit.factor for (number, _), unit in zip(parts, units, strict=True) if unit)
    return (str(total), Unit(units[0].kind, Fraction(1))) if units[0] else None


def _unit(match: re.Match[str], bare: bool) -> Unit | None:
    value, name = match["value"].strip(), match["unit"].strip().rstrip(".")
    if not value or not name:
        return None
    words = name.replace(" per hour", "/h").replace(" per second", "/s").split()
    power = int(match["power"] or 1)
    if len(words) > 1 and words[0].lower() in _POWERS:
        power, words = _POWERS[words.pop(0).lower()], words
    key = " ".join(words)
    known = _UNITS.get(key) or _UNITS.get(key.lower())
    if bare and len(name) == 1 and not (name in _SINGLE_LETTERS and match["value"][-1:].isspace()):
        return None
    if known is not None:
        return Unit(f"{known.kind}^{power}" if power != 1 else known.kind, known.factor**power)
    label = not bare or (len(name) > 2 and _NUMBER.fullmatch(value) is not None)
    return Unit(None, Fraction(1)) if label and _NOT_LABELS.isdisjoint(words) else None
