"""Units: splits a text into its number and unit, and says what a unit measures; pint knows the factors.

pint accepts thousands of names, prefixes and plurals ("cats" would be centi-technical-atmospheres), so only the names
below are asked for; any other word beside a number is a label.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache, lru_cache
from typing import NamedTuple

import pint

from learnalign.verify.notation import plain_number


class Unit(NamedTuple):
    """The dimension that it measures, its size in base units, and its zero in them (20 °C is 293.15 K)."""

    dimension: str
    factor: Fraction
    zero: Fraction = Fraction(0)


_SHORT = frozenset((
    "m", "µm", "erg", "cm", "mm", "km", "nm", "in", "ft", "yd", "mi", "g", "kg", "mg", "lb", "lbs", "oz", "t", "N", "J", "W",
    "s", "sec", "secs", "ms", "min", "mins", "h", "hr", "hrs", "l", "L", "ml", "mL", "dl", "cl", "kl", "N",
    "kN", "J", "kJ", "MJ", "W", "kW", "MW", "kWh", "V", "mV", "A", "mA", "K", "Pa", "kPa", "MPa", "atm", "Hz",
    "kHz", "MHz", "GHz", "mol", "eV", "keV", "MeV", "cal", "kcal", "mph", "kph", "km/h", "C", "T", "F", "rad",
    "deg", "ha", "gal", "qt", "pt", "tsp", "tbsp", "Ω",
))  # fmt: skip
_LONG = re.compile(
    r"(?:(?:kilo|centi|milli|deci|micro|nano|mega|giga)?(?:met(?:er|re)|gram(?:me)?|lit(?:er|re)|second|newton|joule|watt|volt|ampere|"
    r"amp|pascal|hertz|ohm|calorie|hectare)|inch|inche|foot|feet|yard|mile|ounce|pound|ton|tonne|minute|hour|day|week|"
    r"month|year|yr|gallon|quart|pint|cup|tablespoon|teaspoon|acre|degree|radian|kelvin|celsius|fahrenheit|mole|"
    r"dollar|cent|euro|sterling|rupee|yen|yuan|penny|pence|usd|eur|gbp|inr|rs)s?",
    re.IGNORECASE,
)
_NAMES = {
    "rs": "rupee", "yr": "calendar_year", "yrs": "calendar_year",
    "year": "calendar_year", "years": "calendar_year", "month": "calendar_month", "months": "calendar_month",
    "degree": "angle_degree", "degrees": "angle_degree", "radian": "angle_radian", "radians": "angle_radian", "t": "tonne", "ton": "tonne",
    "tons": "tonne", "usd": "dollar", "eur": "euro", "gbp": "sterling", "inr": "rupee", "inche": "inch", "amp": "ampere",
    "amps": "ampere", "pt": "pint", "Ω": "ohm", "pence": "penny", "lbs": "pound", "secs": "second", "s": "second",
    "sec": "second", "mins": "minute", "min": "minute", "hr": "hour", "hrs": "hour", "h": "hour", "in": "inch", "kph": "km/hour",
    "deg": "angle_degree", "rad": "angle_radian", "gal": "gallon", "qt": "quart", "yuan": "yuan", "l": "liter", "L": "liter",
    "C": "coulomb", "F": "farad",
    "T": "tesla", "A": "ampere", "K": "kelvin",
}  # fmt: skip
_TEMPERATURES = {
    "celsius": Unit("temperature", Fraction(1), Fraction(27315, 100)),
    "fahrenheit": Unit("temperature", Fraction(5, 9), Fraction(45967, 180)),
    "kelvin": Unit("temperature", Fraction(1)),
}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "sterling", "¥": "yen", "₹": "rupee", "¢": "cent"}
_SCALES = {
    "hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "lakh": 10**5, "crore": 10**7,
}  # fmt: skip
_CHINESE = {
    "元": "yuan",
    "米": "m",
    "厘米": "cm",
    "千米": "km",
    "公里": "km",
    "克": "g",
    "千克": "kg",
    "小时": "hour",
    "分钟": "minute",
    "秒": "second",
    "天": "day",
}
_LABELS = frozenset(("unit", "units", "square units", "cubic units", "sq units", "sq. units", "units^2"))

_LABEL = re.compile(r"[A-Za-z][a-z'-]{2,}[.,!]?|of|in|at|to|on|a|by")
NOT_LABELS = frozenset((
    "and", "or", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "pi", "mod", "choose",
    "times", "over", "divided", "plus", "minus", "percent", "squared", "cubed", "factorial",
    "halves", "thirds", "quarters", "fourths", "fifths", "sixths", "tenths",
    "hundredths", "gcd", "lcm", "max", "min", "remainder",
))  # fmt: skip

_LETTERS = re.compile(r"[a-z](?: [a-z])+")

_SIGN = r"\\?\$|€|£|¥|₹|\\pounds\s*|(?:US\s*\\?\$|USD|EUR|GBP|Rs\b\.?)\s*"
_PREFIX = re.compile(rf"(?P<sign>-?)\s*(?P<currency>{_SIGN})\s*(?P<value>[-\d.\\].*)", re.DOTALL)
_SUFFIX = re.compile(
    r"(?P<value>.*?[\d)}\s$%])\s*(?P<unit>(?:[A-Za-zµ¢€£°Ω$]|\\circ|\\Omega|\\cdot|/)[A-Za-zµ0-9/.·^*{}\s$\\()+-]*)",
    re.DOTALL,
)
_LAST = re.compile(r"(?P<value>.*[\d)}])\s+(?P<unit>[A-Za-zµ°Ω][A-Za-zµ/.·^*\s-]*)", re.DOTALL)
_CJK = re.compile(r"(?P<value>.*?[\d)}\s$%])(?P<unit>[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+)", re.DOTALL)
_DEGREES = re.compile(
    r"(?P<value>.*[\d)}])\s*\^\s*\{?\s*\\circ\s*\}?(?:\s*(?P<minutes>\d+)\s*(?:'|\^\s*\{?\\prime\}?))?\s*(?P<unit>[CF]?)"
)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\b")
_PART = re.compile(r"\s*(?:,|and)?\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\.?")  # of 5 feet 6 inches
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}


@cache
def _registry() -> pint.UnitRegistry:
    registry: pint.UnitRegistry = pint.UnitRegistry(non_int_type=Fraction)
    for line in (
        "dollar = [us_money]", "cent = dollar / 100", "euro = [euro_money]", "sterling = [uk_money]",
        "penny = sterling / 100", "rupee = [rupee_money]", "yen = [yen_money]", "yuan = [yuan_money]",
        "calendar_month = [calendar]", "calendar_year = 12 * calendar_month", "angle_degree = [plane_angle]",
        "angle_radian = 57.295779513082320876798154814105 * angle_degree",
    ):  # fmt: skip
        registry.define(line)
    return registry


def split_unit(text: str) -> tuple[str, Unit | None, str]:
    """Split `text` into a number's text, its unit (None without one), and the label left over ("apples", "C" …)."""
    if total := compound(text):
        return *total, ""
    if match := _PREFIX.fullmatch(text):
        value, unit, label = split_unit(match["value"].strip().rstrip("$").rstrip("\\"))
        sign = re.sub(r"[\\\s.]|US(?=\W)", "", match["currency"])
        name = _CURRENCIES.get(sign) or {"pounds": "sterling"}.get(sign) or _NAMES.get(sign.lower(), "dollar")
        return match["sign"] + value, unit or unit_of(name), label
    if (match := _DEGREES.fullmatch(text)) and not _TRIGONOMETRY.search(text):
        return _degrees(match, text)
    if match := _CJK.fullmatch(text):
        return match["value"].strip(), unit_of(_CHINESE.get(match["unit"], "")), match["unit"]
    match = _SUFFIX.fullmatch(text)
    if (
        (last := _LAST.fullmatch(text))
        and not _LETTERS.fullmatch(last["unit"].strip())
        and unit_of(last["unit"].strip())
        and not re.search(r"(?<![\\A-Za-z])[A-Za-z]", last["value"])
    ):
        return last["value"].strip(), unit_of(last["unit"].strip()), ""  # 4.5 \cdot 10^{33} erg/s
    if match is None or _TRIGONOMETRY.search(text) or not match["value"].strip(" $"):
        return text, None, ""
    value, words = match["value"].strip(), match["unit"].split()
    if words and (scale := _SCALES.get(words[0].lower().rstrip("s."))):
        value, words = f"({value})\\cdot {scale}", words[1:]
    spaced = text[match.start("unit") - 1].isspace()
    for count in range(len(words), 0, -1):  # the longest unit, then words: 5 km north, 7 dollars left
        name = " ".join(words[:count])
        if not all(map(_is_label, words[count:])) or (count > 1 and _LETTERS.fullmatch(name)):
            continue  # m v^2 and m g h are products
        if name.lower() in _LABELS:
            return value, None, " ".join(words[count:])
        if (unit := unit_of(name, spaced=spaced)) is not None:
            return value, unit, " ".join(words[count:])
    labelled = spaced and all(map(_is_label, words)) and any(len(word) > 2 for word in words)
    return (
        (value, None, " ".join(words))
        if labelled or (not words and value != match["value"].strip())
        else (text, None, "")
    )


def _is_label(word: str) -> bool:
    return (
        _LABEL.fullmatch(word) is not None
        and re.search(r"[aeiouy]", word) is not None
        and word.lower() not in NOT_LABELS
    )


def _degrees(match: re.Match[str], text: str) -> tuple[str, Unit | None, str]:
    """Split degrees, and minutes behind them, from their number."""
    value = match["value"]
    if match["minutes"]:
        whole = plain_number(value.strip())
        if whole is None:
            return text, None, ""
        value = str(whole.value + Fraction(int(match["minutes"]), 60))
    return value, unit_of({"C": "celsius", "F": "fahrenheit"}.get(match["unit"], "degree")), ""


def compound(text: str) -> tuple[str, Unit] | None:
    """Add up several parts of one dimension in the unit of the first: 7 hours 30 minutes is 7.5 hours."""
    parts = _PART.findall(text)
    if len(parts) < 2 or _PART.sub("", text).strip():
        return None
    units = [unit_of(name, spaced=True) for _, name in parts]
    first = units[0]
    if first is None or any(unit is None or unit.dimension != first.dimension for unit in units):
        return None
    total = sum(Fraction(number) * unit.factor for (number, _), unit in zip(parts, units, strict=True) if unit)
    return str(total / first.factor), first


@lru_cache(maxsize=4096)
def unit_of(text: str, spaced: bool = True) -> Unit | None:
    """Read a unit ("cm^2", "sq. ft", "m s^{-1}", "miles per hour"); None if it is none, or a letter without a space."""
    name = re.sub(
        r"[{}$]|\\(?=[A-Z])", "", text.replace("\\cdot", " ").replace("\\Omega", "Ω").replace("\\circ", "deg")
    ).strip(" .")
    name = re.sub(r"\s*\^\s*", "^", re.sub(r"\s*\bper\b\s*", "/", name.replace("°", "deg")))
    name = re.sub(r"^(?:degrees?|deg)\s*C$", "celsius", re.sub(r"^(?:degrees?|deg)\s*F$", "fahrenheit", name))
    name = re.sub(r"^degrees?\s+(?=celsius|fahrenheit)", "", name, flags=re.IGNORECASE)
    if not spaced and len(name) == 1 and name not in "¢€£Ω$":
        return None
    total, sign, power = _registry().Quantity(Fraction(1)), 1, 1
    for word in re.sub(r"([/*·])", r" \1 ", name).split():
        base, _, exponent = word.rstrip(".").partition("^")
        if word in "/*·":
            sign = -1 if word == "/" else 1
        elif base.lower() in _POWERS:
            power = _POWERS[base.lower()]
        elif (known := _known(base)) is None or (exponent and not re.fullmatch(r"-?\d", exponent)):
            return None
        elif known in _TEMPERATURES:
            return _TEMPERATURES[known] if word == name else None
        else:
            total *= _registry().Unit(known) ** (sign * power * int(exponent or 1))
            sign = power = 1
    base_units = total.to_base_units()
    dimension = " ".join(f"{name}^{exponent}" for name, exponent in sorted(base_units.dimensionality.items()))
    return Unit(dimension, Fraction(base_units.magnitude)) if dimension else None


def _known(name: str) -> str | None:
    if name[:1] == "µ" and len(name) == 2:
        return name
    if not (name in _SHORT or name in _CURRENCIES or _LONG.fullmatch(name)):
        return None
    return (
        _CURRENCIES.get(name)
        or _NAMES.get(name)
        or _NAMES.get(name.lower())
        or (name if name in _SHORT else name.lower())
    )
