"""Families of dates, times, quantities, money, scales and percentages."""

from __future__ import annotations

import random
from datetime import date
from fractions import Fraction

from tests.verify.fuzz.parts import Sample, as_decimal, near_values

MONTHS = [f"{date(2000, month, 1):%B}" for month in range(1, 13)]


def dates(rng: random.Random) -> Sample:
    day = date(rng.randint(1900, 2030), rng.randint(1, 12), rng.randint(4, 12))

    def forms(d: date) -> list[str]:
        month = MONTHS[d.month - 1]
        return [f"{d.day} {month} {d.year}", f"{month} {d.day}, {d.year}", d.isoformat()]

    changed = [day.replace(day=day.day + 1), day.replace(year=day.year + 1), day.replace(month=day.month % 12 + 1)]
    changed += [day.replace(month=day.day, day=day.month)] if day.month != day.day else []
    wrong = [form for other in changed for form in forms(other)] + [
        str(day.day),
        str(day.year),
        str(day.year - day.month),
    ]
    return Sample(forms(day), [f"{MONTHS[day.month - 1]} {day.day}th, {day.year}"], wrong, is_text=True)


def month_days(rng: random.Random) -> Sample:
    month, day = rng.randrange(12), rng.randint(4, 19)
    name, other = MONTHS[month], MONTHS[(month + rng.randint(1, 11)) % 12]
    wrong = [f"{other} {day}", f"{day} {other}", f"{name} {day + 1}", f"{day + 1} {name}", str(day), name]
    return Sample([f"{name} {day}"], [f"{day} {name}", f"{name} {day}th"], wrong, is_text=True)


def times(rng: random.Random) -> Sample:
    hour, minute = rng.randint(1, 11), rng.randint(1, 58)

    def forms(h: int, m: int, half: str) -> list[str]:
        return [f"{h}:{m:02} {half}", f"{h}:{m:02} {half[0]}.{half[1]}.", f"{h}:{m:02} {half.upper()}"]

    half, other = rng.sample(["am", "pm"], 2)
    wrong = [*forms(hour, minute, other), *forms(hour, minute + 1, half), *forms(hour % 11 + 1, minute, half)]
    wrong += [str(60 * hour + minute), f"{hour}.{minute:02}", str(hour)]
    clock = f"{hour + 12 * (half == 'pm'):02}:{minute:02}"
    return Sample(forms(hour, minute, half), [clock], wrong, is_text=True)


def durations(rng: random.Random) -> Sample:
    hours, quarter = rng.randint(2, 9), rng.choice([15, 30, 45])
    minutes = 60 * hours + quarter
    wrong = [
        f"{hours} hours {quarter + 1} minutes",
        f"{hours + 1} hours {quarter} minutes",
        f"{minutes} hours",
        f"{hours} hours",
    ]
    wrong += [
        f"{quarter} hours {hours} minutes",
        f"{minutes} seconds",
        f"{hours}.{quarter} hours",
        f"{quarter} minutes",
    ]
    wrong += [f"{minutes + 1} minutes", f"{minutes} days"]
    others = [f"{hours} h {quarter} min", f"{60 * minutes} seconds", f"{hours} hours and {quarter} minutes"]
    same = [f"{hours} hours {quarter} minutes", f"{minutes} minutes", f"{as_decimal(Fraction(minutes, 60))} hours"]
    return Sample(same, others, wrong, is_text=True)


DIMENSIONS = [
    {"mm": Fraction(1, 1000), "cm": Fraction(1, 100), "m": Fraction(1), "km": Fraction(1000)},
    {"g": Fraction(1), "kg": Fraction(1000), "mg": Fraction(1, 1000)},
    {"seconds": Fraction(1), "minutes": Fraction(60), "hours": Fraction(3600), "days": Fraction(86400)},
    {"liters": Fraction(1), "mL": Fraction(1, 1000)},
    {"inches": Fraction(1), "feet": Fraction(12), "yards": Fraction(36)},
    {"cm^2": Fraction(1, 10000), "m^2": Fraction(1), "km^2": Fraction(10**6)},
    {"m/s": Fraction(1), "km/s": Fraction(1000), "cm/s": Fraction(1, 100)},
]


def quantities(rng: random.Random) -> Sample:
    factors = rng.choice(DIMENSIONS)
    unit, other = rng.sample(list(factors), 2)
    value = Fraction(rng.randint(2, 400), rng.choice([1, 1, 10]))
    foreign = rng.choice([u for units in DIMENSIONS if units is not factors for u in units])
    wrong = [f"{as_decimal(v)} {unit}" for v in near_values(value)] + [
        f"{as_decimal(value)} {u}" for u in factors if u != unit
    ]
    wrong += [f"{as_decimal(value)} {foreign}", as_decimal(value + 1), as_decimal(value * 10)]
    others = [as_decimal(value), rf"{as_decimal(value)}{unit}"]
    converted = value * factors[unit] / factors[other]
    if factors[unit] > factors[other]:
        others.append(f"{as_decimal(converted)} {other}")
        wrong.append(f"{as_decimal(converted * 10)} {other}")
    return Sample([f"{as_decimal(value)} {unit}"], others, wrong, is_text=True)


def temperatures(rng: random.Random) -> Sample:
    degrees, (unit, other) = rng.randint(1, 120), rng.sample("CF", 2)
    wrong = [rf"{degrees}^\circ {other}", rf"{degrees + 1}^\circ {unit}", rf"-{degrees}^\circ {unit}", str(degrees + 1)]
    wrong += [rf"{degrees}°{other}", rf"{degrees * 10}^\circ\text{{{unit}}}", rf"{degrees}^\circ\mathrm{{{other}}}"]
    others = [
        str(degrees),
        f"{degrees}°{unit}",
        rf"{degrees}^{{\circ}}\text{{{unit}}}",
        rf"{degrees}\,^\circ\mathrm{{{unit}}}",
    ]
    return Sample([rf"{degrees}^\circ {unit}"], others, wrong)


def money(rng: random.Random) -> Sample:
    cents, (sign, other) = rng.randint(101, 99999), rng.sample("$£€", 2)
    amount = f"{cents / 100:,.2f}"
    wrong = [f"{sign}{(cents + d) / 100:.2f}" for d in (1, -1, 100, 9 * cents)] + [
        f"{other}{amount}",
        f"-{sign}{amount}",
    ]
    wrong += [f"{cents + 1} cents"] if sign == "$" else []
    others = [amount.replace(",", ""), f"{sign}{cents / 100:.2f}"] + ([f"{cents} cents"] if sign == "$" else [])
    return Sample([f"{sign}{amount}"], others, wrong, is_text=True)


def scales(rng: random.Random) -> Sample:
    tenths, (power, name) = rng.randint(11, 99), rng.choice([(3, "thousand"), (6, "million"), (9, "billion")])
    value, sign = Fraction(tenths, 10), rng.choice(["", "$"])
    whole = int(value * 10**power)
    wrong = [
        f"{sign}{as_decimal(value)} {w}" for w in ("thousand", "million", "billion", "trillion", "dozen") if w != name
    ]
    wrong += [
        f"{sign}{as_decimal(value)}",
        f"{sign}{whole + 1}",
        f"{sign}{whole * 10:,}",
        f"{sign}{as_decimal(value + 1)} {name}",
    ]
    same = [f"{sign}{as_decimal(value)} {name}", f"{sign}{whole:,}"]
    return Sample(same, [str(whole), f"{as_decimal(value)} {name}"], wrong, is_text=True)


def percents(rng: random.Random) -> Sample:
    value = Fraction(rng.randint(1, 2000), rng.choice([1, 10]))
    wrong = [f"{as_decimal(other)}%" for other in near_values(value)] + [
        as_decimal(value * 10),
        as_decimal(value / 10),
        as_decimal(-value),
    ]
    return Sample(
        [f"{as_decimal(value)}%"],
        [as_decimal(value), f"{as_decimal(value)} percent", as_decimal(value / 100)],
        wrong,
        is_text=True,
    )
