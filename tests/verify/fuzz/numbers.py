"""Families of numbers and expressions."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import permutations

from tests.verify.fuzz.parts import Sample, as_decimal, as_fraction, distinct, near_values, nonzero, sum_of


def integers(rng: random.Random) -> Sample:
    n = nonzero(rng, 10 ** rng.randint(1, 9))
    plain, grouped = str(n), f"{n:,}"
    turned = [int(("-" if n < 0 else "") + "".join(p)) for p in list(permutations(str(abs(n))[-3:]))[1:3]]
    wrong = [other for other in [*near_values(Fraction(n)), *map(Fraction, turned)] if other != n]
    same = [plain, grouped, grouped.replace(",", r"\,"), grouped.replace(",", "{,}"), plain.replace("-", "−")]
    return Sample(same, [f"{plain}.0", f"{plain}.", f"{2 * n}/2"], [as_decimal(other) for other in wrong])


def decimals(rng: random.Random) -> Sample:
    places = rng.randint(1, 5)
    value = Fraction(nonzero(rng, 10 ** rng.randint(places, places + 3)), 10**places)
    wrong = [as_decimal(other) for other in near_values(value, Fraction(1, 10**places))]
    return Sample(
        [as_decimal(value), as_fraction(value), as_fraction(value, "dfrac")], [as_decimal(value).lstrip("0")], wrong
    )


def powers_of_ten(rng: random.Random) -> Sample:
    digits, exponent = rng.randint(101, 999), rng.choice([-1, 1]) * rng.randint(8, 60)

    def forms(number: int, power: int) -> list[str]:
        mantissa = as_decimal(Fraction(number, 100))
        return [rf"{mantissa}\times10^{{{power}}}", rf"{mantissa} \cdot 10^{{{power}}}", f"{mantissa}e{power}"]

    changed = [(digits + 1, exponent), (-digits, exponent), (digits, exponent + 1), (digits, exponent - 1)]
    changed += [(digits, -exponent), (digits + 100, exponent)]
    wrong = [form for number, power in changed for form in forms(number, power)]
    return Sample(forms(digits, exponent), [rf"{digits}\times 10^{{{exponent - 2}}}"], [*wrong, "0"])


def fractions(rng: random.Random) -> Sample:
    value = Fraction(nonzero(rng, 60), rng.randint(2, 40))
    wrong = [*near_values(value, Fraction(1, value.denominator)), Fraction(1) / value, value + 1]
    wrong = [other for other in wrong if other != value]
    a, b = value.numerator, value.denominator
    same = [
        as_fraction(value),
        as_fraction(value, "dfrac"),
        as_fraction(value, "tfrac"),
        f"{a}/{b}",
        rf"\frac{{{a}}}{{{b}}}",
    ]
    return Sample(
        same, [rf"\frac{{{3 * a}}}{{{3 * b}}}", rf"\left(\frac{{{a}}}{{{b}}}\right)"], list(map(as_fraction, wrong))
    )


def tiny_fractions(rng: random.Random) -> Sample:
    base, power = rng.choice([2, 3, 7, 10]), rng.randint(25, 90)
    same = [rf"\frac{{1}}{{{base}^{{{power}}}}}", rf"{base}^{{-{power}}}"]
    wrong = [rf"\frac{{1}}{{{base}^{{{power + 1}}}}}", rf"-{base}^{{-{power}}}", f"{base}^{{{power}}}", "0"]
    wrong += [rf"\frac{{2}}{{{base}^{{{power}}}}}", rf"\frac{{1}}{{{base}^{{{power}}}+1}}", rf"{base + 1}^{{-{power}}}"]
    return Sample(same, [rf"\left(\frac{{1}}{{{base}}}\right)^{{{power}}}"], wrong)


def near_one(rng: random.Random) -> Sample:
    base, power = rng.choice([2, 3, 5]), rng.randint(30, 90)
    wrong = ["1", rf"1-\frac{{1}}{{{base}^{{{power + 1}}}}}", rf"1+\frac{{1}}{{{base}^{{{power}}}}}"]
    same = [rf"1-\frac{{1}}{{{base}^{{{power}}}}}", rf"\frac{{{base}^{{{power}}}-1}}{{{base}^{{{power}}}}}"]
    return Sample(same, [rf"1-{base}^{{-{power}}}"], wrong)


def huge_powers(rng: random.Random) -> Sample:
    base, power = rng.choice([2, 3, 5, 6, 7, 11]), 2 * rng.randint(60, 1500)
    wrong = [f"{base}^{{{power + 1}}}", f"{base}^{{{power - 1}}}", f"{base}^{{{power}}}+1", f"{base}^{{{power}}}-1"]
    wrong += [f"-{base}^{{{power}}}", f"{base + 1}^{{{power}}}", f"{base}^{{{10 * power}}}", rf"{base}\cdot{power}"]
    others = [f"{base**2}^{{{power // 2}}}", rf"{base}\cdot {base}^{{{power - 1}}}"]
    return Sample([f"{base}^{{{power}}}"], others, [*wrong, rf"2\cdot {base}^{{{power}}}"])


def factorials(rng: random.Random) -> Sample:
    n = rng.randint(20, 300)
    wrong = [f"{n + 1}!", f"{n}!+1", f"{n - 1}!", f"-{n}!", rf"\frac{{{n}!}}{{2}}", rf"\frac{{{n}!}}{{{n + 1}}}"]
    return Sample([f"{n}!"], [rf"{n}\cdot {n - 1}!", rf"\frac{{{n + 1}!}}{{{n + 1}}}"], wrong)


def radicals(rng: random.Random) -> Sample:
    a, b, c = rng.randint(2, 12), rng.choice([2, 3, 5, 6, 7, 10, 11, 13]), nonzero(rng, 9)
    root = rf"{a}\sqrt{{{b}}}"
    wrong = [rf"{c}-{root}", rf"{-c}+{root}", rf"{c}+{a + 1}\sqrt{{{b}}}", rf"{c}+{a}\sqrt{{{b + 1}}}", f"{c}+{a * b}"]
    wrong += [rf"{c}+\sqrt{{{a * b}}}", rf"{c + 1}+{root}", rf"{c}+{a}\sqrt[3]{{{b}}}"]
    return Sample([f"{c}+{root}", rf"{root}{c:+}"], [rf"{c}+\sqrt{{{a * a * b}}}", f"{c}+{a}√{b}"], wrong)


def constants(rng: random.Random) -> Sample:
    value, letter = Fraction(nonzero(rng, 15), rng.randint(1, 9)), rng.choice([r"\pi", "e"])
    a, b = value.numerator, value.denominator
    if abs(a) == 1 or b == 1:
        return constants(rng)
    power = rf"\frac{{{a}{letter}^2}}{{{b}}}"
    other = "e" if letter == r"\pi" else r"\pi"
    wrong = [
        rf"\frac{{{-a}{letter}}}{{{b}}}",
        rf"\frac{{{a + b}{letter}}}{{{b}}}",
        rf"\frac{{{a}{other}}}{{{b}}}",
        power,
    ]
    wrong += [as_fraction(value), rf"\frac{{{10 * a}{letter}}}{{{b}}}", rf"\frac{{{a}}}{{{b}{letter}}}"]
    same = [rf"\frac{{{a}{letter}}}{{{b}}}", rf"\frac{{{a}}}{{{b}}}{letter}"]
    return Sample(same, [rf"\dfrac{{{a} {letter}}}{{{b}}}", rf"\frac{{{letter}}}{{{b}}}\cdot({a})"], wrong)


def logarithms(rng: random.Random) -> Sample:
    base, n, power = rng.choice([2, 3, 5, 7]), rng.randint(11, 40), rng.randint(2, 5)
    same = [rf"{power}\ln {base}", rf"{power}\ln({base})"]
    wrong = [
        rf"{power + 1}\ln {base}",
        rf"-{power}\ln {base}",
        rf"\ln {base}",
        rf"{power}\ln {n}",
        rf"{power}\log_2 {n}",
    ]
    return Sample(same, [rf"\ln {base**power}", rf"\ln({base**power})"], wrong)


def polynomials(rng: random.Random) -> Sample:
    r, s = distinct(rng, 2)

    def forms(a: int, b: int) -> str:
        return sum_of([(1, "x^2"), (-a - b, "x"), (a * b, "")])

    same = [forms(r, s), sum_of([(r * s, ""), (-r - s, "x"), (1, "x^2")])]
    wrong = [forms(r, s + 1), sum_of([(-1, "x^2"), (r + s, "x"), (-r * s, "")]), sum_of([(1, "x^2"), (-r * s, "")])]
    wrong += [f"{forms(r, s)}+1", forms(r + 1, s), f"(x{r:+})(x{s:+})(x+1)", forms(r, s).replace("x^2", "x^3")]
    wrong += [forms(-r, -s)] if r + s else []
    return Sample(same, [f"(x{-r:+})(x{-s:+})", f"(x{-s:+}) (x{-r:+})", same[0].replace("x^2", "x²")], wrong)


def rational_functions(rng: random.Random) -> Sample:
    a, b, c = distinct(rng, 3)

    def form(p: int, q: int, lead: int = 1) -> str:
        return rf"\frac{{{sum_of([(lead, 'x'), (p, '')])}}}{{x{q:+}}}"

    wrong = [form(b, a), form(a, b, -1), form(a, b, 2), form(-a, b), form(a, -b), form(a, c), f"-{form(a, b)}"]
    return Sample(
        [form(a, b), rf"\dfrac{{x{a:+}}}{{x{b:+}}}"],
        [f"(x{a:+})/(x{b:+})", f"1{form(a - b, b, 0)}".replace("1\\frac", "1+\\frac")],
        wrong,
    )
