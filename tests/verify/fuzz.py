r"""Generated answer pairs whose verdict follows from how they are made, never from a verifier.

A family is a function of a random generator that yields (gold, answer, equal). Values come from exact integers and
fractions; a false pair differs by its construction: sign, last digit, scale, order, unit, end, bound or swapped values.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple


class Generated(NamedTuple):
    family: str
    gold: str
    answer: str
    equal: bool


Made = Iterator[tuple[str, str, bool]]
_FAMILIES: list[Callable[[random.Random], Made]] = []
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November")


def _family(make: Callable[[random.Random], Made]) -> Callable[[random.Random], Made]:
    _FAMILIES.append(make)
    return make


def generate(seed: int, rounds: int) -> list[Generated]:
    """Make `rounds` draws of every family."""
    rng = random.Random(seed)
    return [
        Generated(make.__name__.strip("_"), *made) for make in _FAMILIES for _ in range(rounds) for made in make(rng)
    ]


def _frac(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


@_family
def _integers(rng: random.Random) -> Made:
    n = rng.randint(2, 10 ** rng.randint(1, 9)) * rng.choice((1, -1))
    yield str(n), str(-n), False
    yield str(n), str(n + rng.choice((1, -1))), False
    yield str(n), str(10 * n), False
    yield str(n), f"{n}.5", False
    yield str(n), f"{n:,}", True
    yield f"{n}", rf"\text{{{n}}}", True
    yield f"{n}", f"x = {n}", True


@_family
def _decimals(rng: random.Random) -> Made:
    places = rng.randint(1, 8)
    digits = rng.randint(11, 10**places * 9) | 1
    text = f"{digits / 10**places:.{places}f}"
    changed = f"{(digits + 1) / 10**places:.{places}f}"
    yield text, changed, False
    yield text, "-" + text, False
    yield text, text + "0", True
    yield text, _frac(Fraction(digits, 10**places)), True


@_family
def _tiny_and_huge(rng: random.Random) -> Made:
    mantissa, power = rng.randint(11, 99), rng.randint(5, 40) * rng.choice((1, -1))
    gold = rf"{mantissa / 10}\times 10^{{{power}}}"
    yield gold, rf"{mantissa / 10}\times 10^{{{power + 1}}}", False
    yield gold, rf"{(mantissa + 1) / 10}\times 10^{{{power}}}", False
    yield gold, "0", False
    yield gold, rf"-{mantissa / 10}\times 10^{{{power}}}", False
    yield gold, f"{mantissa / 10}e{power}", True
    yield gold, rf"{mantissa}\cdot 10^{{{power - 1}}}", True


@_family
def _fractions(rng: random.Random) -> Made:
    value = Fraction(rng.randint(1, 200), rng.randint(2, 200))
    value = value if value.denominator > 1 else value + Fraction(1, 2)
    k = rng.randint(2, 9)
    yield _frac(value), _frac(-value), False
    yield _frac(value), _frac(value + Fraction(1, value.denominator)), False
    if value != 1 / value:
        yield _frac(value), _frac(1 / value), False
    yield _frac(value), f"{value.numerator}/{value.denominator}", True
    yield f"{value.numerator}/{value.denominator}", rf"\dfrac{{{k * value.numerator}}}{{{k * value.denominator}}}", True


@_family
def _mixed_numbers(rng: random.Random) -> Made:
    whole, bottom = rng.randint(1, 30), rng.randint(2, 12)
    top = rng.randint(1, bottom - 1)
    gold = rf"{whole}\frac{{{top}}}{{{bottom}}}"
    yield (
        gold,
        _frac(Fraction(whole) * Fraction(top, bottom)),
        Fraction(whole) * Fraction(top, bottom) == whole + Fraction(top, bottom),
    )
    yield gold, rf"{whole + 1}\frac{{{top}}}{{{bottom}}}", False
    yield gold, _frac(whole + Fraction(top, bottom)), True
    yield gold, f"{whole} {top}/{bottom}", True


@_family
def _powers(rng: random.Random) -> Made:
    base, exponent = rng.randint(2, 19), rng.randint(20, 3000)
    gold = f"{base}^{{{exponent}}}"
    yield gold, f"{base}^{{{exponent + 1}}}", False
    yield gold, f"{gold}+1", False
    yield gold, rf"\frac{{1}}{{{gold}}}", False
    yield rf"\frac{{1}}{{{gold}}}", rf"\frac{{1}}{{{base}^{{{exponent + 1}}}}}", False
    yield gold, rf"{base}\cdot {base}^{{{exponent - 1}}}", True
    yield f"{base**2}^{{{exponent}}}", f"{base}^{{{2 * exponent}}}", True


@_family
def _radicals(rng: random.Random) -> Made:
    a, b = rng.randint(2, 15), rng.choice((2, 3, 5, 6, 7, 10, 11))
    yield rf"{a}\sqrt{{{b}}}", rf"{a + 1}\sqrt{{{b}}}", False
    yield rf"{a}\sqrt{{{b}}}", rf"-{a}\sqrt{{{b}}}", False
    yield rf"{a}+\sqrt{{{b}}}", rf"{a}-\sqrt{{{b}}}", False
    yield rf"{a}\sqrt{{{b}}}", rf"{a}\sqrt{{{b + 13}}}", False
    yield rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", True
    yield rf"\frac{{{a}}}{{\sqrt{{{b}}}}}", rf"\frac{{{a}\sqrt{{{b}}}}}{{{b}}}", True


@_family
def _constants(rng: random.Random) -> Made:
    a, b = rng.randint(2, 30), rng.randint(2, 9)
    yield rf"\frac{{{a}\pi}}{{{b}}}", rf"\frac{{{a + 1}\pi}}{{{b}}}", False
    yield rf"{a}\pi", rf"{a}", False
    yield rf"{a}e^{{{b}}}", rf"{a}e^{{-{b}}}", False
    yield rf"{a}-\frac{{1}}{{e}}", rf"{a}+\frac{{1}}{{e}}", False
    yield rf"\frac{{{a}\pi}}{{{b}}}", rf"\frac{{{a}}}{{{b}}}\pi", True
    yield rf"{a}e^{{-{b}}}", rf"\frac{{{a}}}{{\mathrm{{e}}^{{{b}}}}}", True


@_family
def _polynomials(rng: random.Random) -> Made:
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    gold = f"x^2+{a + b}x+{a * b}"
    yield gold, f"x^2-{a + b}x+{a * b}", False
    yield gold, f"x^2+{a + b}x+{a * b + 1}", False
    yield gold, f"(x+{a})(x+{b + 1})", False
    yield gold, f"y^2+{a + b}y+{a * b}", False
    yield gold, f"(x+{a})(x+{b})", True
    yield gold, f"{a * b}+{a + b}x+x^{{2}}", True
    yield f"{a}x-{b}y", f"{a}y-{b}x", False
    yield f"{a}x-{b}y", f"-{b}y+{a}x", True


@_family
def _tuples(rng: random.Random) -> Made:
    a, b, c = rng.sample(range(-20, 21), 3)
    a, b = (b, a) if a < b else (a, b)  # a point, no interval
    yield f"({a}, {b})", f"({b}, {a})", False
    yield f"({a}, {b})", f"({a}, {b + 1})", False
    yield f"({a}, {b}, {c})", f"({b}, {a}, {c})", False
    yield f"({a}, {b})", rf"\{{{a}, {b}\}}", False
    yield f"({a}, {b})", str(a), False
    yield f"({a}, {b})", rf"\left({a},{b}\right)", True
    yield f"({a}, {b}, {c})", rf"\begin{{pmatrix}}{a}\\{b}\\{c}\end{{pmatrix}}", True


@_family
def _lists(rng: random.Random) -> Made:
    a, b, c = rng.sample(range(1, 60), 3)
    yield f"{a}, {b}", f"{a}", False
    yield f"{a}, {b}", f"{a}, {c}", False
    yield f"{a}", f"{a}, {b}", False
    yield f"{a}", rf"{a} \text{{ or }} {b}", False
    yield f"{a}, {b}", f"[{min(a, b)}, {max(a, b)}]", False
    yield rf"\{{{a}, {b}, {c}\}}", rf"\{{{a}, {b}\}}", False
    yield f"{a}, {b}, {c}", f"{c}, {a}, {b}", True
    yield f"{a}, {b}", rf"x = {b} \text{{ or }} x = {a}", True
    yield rf"\{{{a}, {b}\}}", f"{b}, {a}", True
    yield rf"\pm {a}", f"{a}, -{a}", True
    yield rf"\pm {a}", f"{a}", False


@_family
def _intervals(rng: random.Random) -> Made:
    low = rng.randint(-20, 20)
    high = low + rng.randint(1, 20)
    yield f"[{low}, {high}]", f"({low}, {high}]", False
    yield f"({low}, {high})", f"[{low}, {high})", False
    yield f"[{low}, {high}]", f"[{low}, {high + 1}]", False
    yield rf"(-\infty, {low})", rf"({low}, \infty)", False
    yield f"[{low}, {high}]", rf"{low} < x < {high}", False
    yield f"[{low}, {high})", rf"{low} \le x < {high}", True
    yield rf"x > {low}", rf"({low}, \infty)", True
    yield rf"x \ge {low}", rf"x > {low}", False
    yield rf"x \ge {low}", rf"x \le {low}", False
    yield rf"x \ge {low}", rf"{low}", False
    yield rf"x < {low} \text{{ or }} x > {high}", rf"(-\infty, {low}) \cup ({high}, \infty)", True
    yield rf"x < {low} \text{{ or }} x > {high}", rf"({low}, {high})", False
    yield rf"\{{x \mid x > {low}\}}", rf"({low}, +\infty)", True


@_family
def _lines(rng: random.Random) -> Made:
    a, b, c = (rng.randint(1, 9) for _ in range(3))
    k = rng.randint(2, 5)
    gold = f"{a}x+{b}y+{c}=0"
    yield gold, f"{a}x-{b}y+{c}=0", False
    yield gold, f"{a}x+{b}y+{c + 1}=0", False
    yield gold, f"{a}x+{b}y+{c}", False
    yield gold, f"{k * a}x+{k * b}y+{k * c}=0", True
    yield gold, f"{b}y=-{a}x-{c}", True
    yield f"x^2+y^2={a * a}", f"x^2+y^2={a * a + 1}", False
    yield f"y={a}x+{b}", f"y={a}x-{b}", False
    yield f"y={a}x+{b}", f"{a}x+{b}", True


@_family
def _assignments(rng: random.Random) -> Made:
    a, b = rng.sample(range(-20, 21), 2)
    yield f"x={a}, y={b}", f"x={b}, y={a}", False
    yield f"x={a}, y={b}", f"({b}, {a})", False
    yield f"x={a}, y={b}", f"x={a}, y={b + 1}", False
    yield f"x={a}, y={b}", f"x={a}", False
    yield f"x={a}, y={b}", f"y={b}, x={a}", True
    yield f"(x, y) = ({a}, {b})", rf"x={a} \text{{ and }} y={b}", True


@_family
def _dates(rng: random.Random) -> Made:
    day, month, year = rng.randint(1, 28), rng.choice(_MONTHS[:-1]), rng.randint(1900, 2099)
    other = _MONTHS[_MONTHS.index(month) + 1]
    number = _MONTHS.index(month) + 1
    yield f"{month} {day}", f"{other} {day}", False
    yield f"{month} {day}", f"{day}", False
    yield f"{day} {month} {year}", f"{day} {month} {year + 1}", False
    yield f"{day} {month} {year}", f"{month} {day + 1}, {year}", False
    yield f"{year}-{number:02d}-{day:02d}", str(year - number - day), False
    yield f"{day} {month} {year}", f"{month} {day}, {year}", True
    yield f"{year}-{number:02d}-{day:02d}", rf"\text{{{month} {day}, {year}}}", True


@_family
def _times(rng: random.Random) -> Made:
    hour, minute = rng.randint(1, 11), rng.randint(10, 58)
    yield f"{hour}:{minute} am", f"{hour}:{minute} pm", False
    yield f"{hour}:{minute}", f"{hour}:{minute + 1}", False
    yield f"{hour}:{minute}", f"{60 * hour + minute}", False
    yield f"{hour}:{minute} p.m.", f"{hour + 12}:{minute}", True
    yield f"{hour} hours {minute} minutes", f"{60 * hour + minute} minutes", True
    yield f"{hour} hours {minute} minutes", f"{60 * hour + minute + 1} minutes", False
    yield f"{hour} hours", f"{hour} minutes", False


@_family
def _units(rng: random.Random) -> Made:
    n = rng.randint(2, 500)
    for one, other, factor in rng.sample(
        [("m", "cm", 100), ("kg", "g", 1000), ("hours", "minutes", 60), ("days", "hours", 24), ("L", "mL", 1000),
         ("feet", "inches", 12), ("gallons", "quarts", 4), ("km", "m", 1000), ("weeks", "days", 7)], 3,
    ):  # fmt: skip
        yield f"{n} {one}", rf"{n}\text{{ {other}}}", False
        yield f"{n} {one}", rf"{factor * n}\text{{ {other}}}", True
        yield f"{n} {one}", f"{n}", True
        yield f"{n}", rf"{n}\,\mathrm{{{one}}}", True
    yield rf"{n}\text{{ cm}}^2", rf"{n}\text{{ cm}}^3", False
    yield rf"{n}^\circ C", rf"{n}^\circ F", False
    yield rf"{n} m/s", rf"{n} km/h", False
    yield rf"{n}^\circ", rf"{n + 1}^\circ", False
    yield rf"{n % 80 + 1}^\circ 30'", rf"{n % 80 + 1}^\circ", False
    yield rf"{n % 80 + 1}^\circ 30'", rf"{n % 80 + 1}.5^\circ", True


@_family
def _money(rng: random.Random) -> Made:
    n, cents = rng.randint(2, 99), rng.randint(10, 99)
    yield f"${n}", f"£{n}", False
    yield f"€{n}", f"\\${n}", False
    yield f"${n}.{cents}", f"${n}.{cents + 1 if cents < 99 else cents - 1}", False
    yield f"${n} million", f"${n}", False
    yield f"${n} million", f"${n} thousand", False
    yield f"{n} billion", f"{n} million", False
    yield f"{n} dozen", f"{n}", False
    yield f"${n}.{cents}", rf"\${n}.{cents}", True
    yield f"{n} million", f"{n},000,000", True
    yield f"{n} dozen", f"{12 * n}", True
    yield f"${n}", f"{100 * n} cents", True


@_family
def _percent(rng: random.Random) -> Made:
    n = rng.randint(2, 99)
    yield f"{n}%", f"{n + 1}%", False
    yield f"{n}%", f"{n / 10}%", False
    yield f"increase by {n}%", f"decrease by {n}%", False
    yield rf"{n}\%", f"{n} percent", True
    yield f"{n}%", f"{Fraction(n, 100).numerator}/{Fraction(n, 100).denominator}", True


@_family
def _ratios(rng: random.Random) -> Made:
    a, b = rng.sample((1, 2, 3, 4, 5, 7, 8, 9), 2)
    yield f"{a}:{b}", f"{b}:{a}", False
    yield f"{a}:{b}", f"{a}:{b + 1}", False
    yield f"{a}:{b}", f"{11 * a}:{11 * b}", True
    yield f"{a}:{b}:7", f"{b}:{a}:7", False


@_family
def _bounds(rng: random.Random) -> Made:
    n = rng.randint(2, 99)
    yield f"at least {n}", f"at most {n}", False
    yield f"at least {n}", f"{n}", False
    yield f"{n}", rf"\text{{at most }} {n}", False
    yield f"{n}", rf"\text{{more than }} {n}", False
    yield f"{n}", rf"\text{{not }} {n}", False
    yield f"more than {n}", f"less than {n}", False
    yield f"{n}", rf"\text{{between }} {n - 1} \text{{ and }} {n}", False
    yield f"{n} remainder 1", "1", False
    yield f"{n} remainder 1", f"{n} R 2", False
    yield f"at least {n}", rf"x \ge {n}", True
    yield f"{n} remainder 1", f"{n} R 1", True


@_family
def _labels(rng: random.Random) -> Made:
    a, b = rng.sample(range(1, 30), 2)
    yield f"Team {a}", f"Group {a}", False
    yield f"Alice {a}, Bob {b}", f"Alice {b}, Bob {a}", False
    yield f"{a} red and {b} blue", f"{b} red and {a} blue", False
    yield f"{a} km north", f"{a} km south", False
    yield f"{a} minutes early", f"{a} minutes late", False
    yield f"Team {a}", f"Team {b}", False
    yield f"Team {a}", rf"\text{{Team }} {a}", True
    yield f"{a} red and {b} blue", f"{b} blue and {a} red", True


@_family
def _choices(rng: random.Random) -> Made:
    one, other = rng.sample("ABCDE", 2)
    n = rng.randint(2, 99)
    yield one, other, False
    yield one, rf"\text{{{one} and {other}}}", False
    yield one, rf"\textbf{{({other}) }}{n}", False
    yield one, f"({one}) {n}", True
    yield f"({one})", rf"\text{{{one}}}", True
    yield one + other, f"{other}, {one}", True


@_family
def _matrices(rng: random.Random) -> Made:
    a, b, c, d = rng.sample(range(-9, 10), 4)
    gold = rf"\begin{{pmatrix}}{a}&{b}\\{c}&{d}\end{{pmatrix}}"
    yield gold, rf"\begin{{pmatrix}}{b}&{a}\\{c}&{d}\end{{pmatrix}}", False
    yield gold, rf"\begin{{pmatrix}}{a}&{c}\\{b}&{d}\end{{pmatrix}}", False
    yield gold, rf"\begin{{vmatrix}}{a}&{b}\\{c}&{d}\end{{vmatrix}}", False
    yield gold, f"{a * d - b * c}", False
    yield gold, rf"\begin{{bmatrix}} {a} & {b} \\ {c} & {d} \end{{bmatrix}}", True


@_family
def _number_systems(rng: random.Random) -> Made:
    n = rng.randint(9, 500)
    yield f"{n:b}_2", f"{n + 1:b}_2", False
    yield f"{n:b}_2", f"{n:b}_3", False
    yield f"{n:o}_8", f"{n}", False
    yield f"{n:b}_2", f"{n:b}_{{2}}", True
    m = rng.randint(5, 40)
    r = n % m
    yield rf"x \equiv {r} \pmod{{{m}}}", rf"x \equiv {r} \pmod{{{m + 1}}}", False
    yield rf"x \equiv {r} \pmod{{{m}}}", rf"x \equiv {r + 1} \pmod{{{m}}}", False
    yield rf"x \equiv {r} \pmod{{{m}}}", rf"x \equiv {r - m} \pmod{{{m}}}", True


@_family
def _solution_families(rng: random.Random) -> Made:
    n, b = rng.randint(2, 12), rng.randint(1, 4)
    gold = rf"x=\frac{{\pi}}{{{n}}}+{b}k\pi, k\in\mathbb{{Z}}"
    yield gold, rf"x=\frac{{\pi}}{{{n + 1}}}+{b}k\pi, k\in\mathbb{{Z}}", False
    yield gold, rf"x=\frac{{\pi}}{{{n}}}+{b + 1}k\pi, k\in\mathbb{{Z}}", False
    yield gold, rf"\frac{{\pi}}{{{n}}}", False
    yield gold, rf"x=\frac{{\pi}}{{{n}}}+{b}n\pi, n\in\mathbb{{Z}}", True
    yield gold, rf"x=\frac{{\pi}}{{{n}}}-{b}k\pi, k\in\mathbb{{Z}}", True


@_family
def _prose(rng: random.Random) -> Made:
    n, m = rng.sample(range(3, 900), 2)
    for form in ("It takes {} hours", "She pays ${} in total", "There are {} ways to do it", "The total is **{}**"):
        yield str(n), rf"\text{{{form.format(n).replace('*', '').replace('$', '')}}}", True
        yield str(n), rf"\text{{{form.format(m).replace('*', '').replace('$', '')}}}", False
    yield str(n), rf"\text{{{n} or {m}}}", False
    yield str(n), rf"{n}\text{{ to }}{m}", False
    yield str(m), rf"\text{{{n} apples and {m} oranges}}", False
    yield str(n), rf"\text{{{n} of the {m}}}", False
