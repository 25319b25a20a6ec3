"""Families of tuples, sets, intervals, equations and assignments."""

from __future__ import annotations

import random
from fractions import Fraction

from tests.verify.fuzz.parts import Sample, as_decimal, as_fraction, distinct, near_values, nonzero, sum_of


def tuples(rng: random.Random) -> Sample:
    values = distinct(rng, rng.randint(2, 4))
    plain = ", ".join(map(str, values))
    changed = [values[::-1], [-values[0], *values[1:]], [*values[:-1], values[-1] + 1], values[:-1], [*values, 13]]
    wrong = [f"({', '.join(map(str, other))})" for other in changed if len(other) > 1]
    others = [rf"\left({plain}\right)", f"({plain.replace(' ', '')})", rf"\left( {plain} \right)"]
    return Sample([f"({plain})"], others, wrong)


def fraction_points(rng: random.Random) -> Sample:
    x, y = Fraction(2 * nonzero(rng, 9) + 1, 2), Fraction(nonzero(rng, 9), 4)
    changed = [(y, x), (-x, y), (x, -y), (x + 1, y), (x, y * 10)]
    wrong = [f"({as_fraction(p)},{as_fraction(q)})" for p, q in changed if (p, q) != (x, y)]
    return Sample(
        [f"({as_fraction(x)},{as_fraction(y)})"],
        [f"({as_decimal(x)}, {as_decimal(y)})", rf"\left({as_fraction(x, 'dfrac')},{as_fraction(y, 'dfrac')}\right)"],
        wrong,
    )


def sets(rng: random.Random) -> Sample:
    values = distinct(rng, rng.randint(2, 4), 30)
    forms = [rf"\{{{', '.join(map(str, order))}\}}" for order in (values, values[::-1])]
    changed = [[-values[0], *values[1:]], [*values[:-1], values[-1] + 100], values[:-1], [*values, 50], values[1:]]
    wrong = [rf"\{{{', '.join(map(str, other))}\}}" for other in changed if set(other) != set(values)]
    return Sample(forms, [forms[0].replace(r"\{", r"\left\{").replace(r"\}", r"\right\}")], wrong)


def lists(rng: random.Random) -> Sample:
    values = distinct(rng, rng.randint(2, 4), 30)
    plain = ", ".join(map(str, values))
    words = rf"{', '.join(map(str, values[:-1]))} \text{{ and }} {values[-1]}"
    changed = [[-values[0], *values[1:]], [*values[:-1], values[-1] + 100], values[:-1], [*values, 50], values[1:]]
    wrong = [", ".join(map(str, other)) for other in changed if set(other) != set(values)]
    return Sample([plain], [", ".join(map(str, values[::-1])), words, plain.replace(" ", "")], wrong)


def plus_minus(rng: random.Random) -> Sample:
    a, b = rng.randint(1, 20), rng.choice([2, 3, 5, 7])
    same = [rf"\pm {a}\sqrt{{{b}}}", rf"{a}\sqrt{{{b}}}, -{a}\sqrt{{{b}}}"]
    wrong = [
        rf"{a}\sqrt{{{b}}}",
        rf"-{a}\sqrt{{{b}}}",
        rf"\pm {a + 1}\sqrt{{{b}}}",
        rf"\pm {a * b}",
        rf"\pm {a}\sqrt{{{b + 1}}}",
    ]
    return Sample(same, [rf"-{a}\sqrt{{{b}}},\; {a}\sqrt{{{b}}}"], wrong)


def intervals(rng: random.Random) -> Sample:
    low, high = sorted(distinct(rng, 2))
    left, right = rng.choice("[("), rng.choice("])")
    other_left, other_right = "[(".replace(left, ""), "])".replace(right, "")
    wrong = [f"{other_left}{low},{high}{right}", f"{left}{low},{high}{other_right}", f"{left}{low},{high + 1}{right}"]
    wrong += [f"{left}{low - 1},{high}{right}", rf"{left}{low},\infty)", rf"(-\infty,{high}{right}", f"{high}, {low}"]
    if low + high:
        wrong.append(f"{left}{-high},{-low}{right}")
    first, second = r"\le" if left == "[" else "<", r"\le" if right == "]" else "<"
    others = [
        rf"\left{left}{low}, {high}\right{right}",
        rf"{low} {first} x {second} {high}",
        rf"x \in {left}{low},{high}{right}",
    ]
    return Sample([f"{left}{low},{high}{right}"], others, wrong)


def unions(rng: random.Random) -> Sample:
    a, b = sorted(distinct(rng, 2))
    wrong = [rf"(-\infty,{a}]\cup({b},\infty)", rf"(-\infty,{a})\cup[{b},\infty)", f"({a},{b})", f"[{a},{b}]"]
    wrong += [
        rf"(-\infty,{a})\cup({b + 1},\infty)",
        rf"(-\infty,{b})\cup({a},\infty)",
        rf"(-\infty,{a})",
        rf"({b},\infty)",
    ]
    others = [rf"x<{a} \text{{ or }} x>{b}", rf"\left({b},\infty\right)\cup\left(-\infty,{a}\right)"]
    return Sample([rf"(-\infty,{a})\cup({b},\infty)"], [*others, rf"(-∞,{a})∪({b},∞)"], wrong)


def inequalities(rng: random.Random) -> Sample:
    value = Fraction(nonzero(rng, 40), rng.choice([1, 1, 2, 5]))
    sign = rng.choice(["<", ">", r"\le", r"\ge"])
    turned = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
    end, flipped = as_fraction(value), turned[sign]
    bounds = [f"x {other} {end}" for other in turned if other != sign] + [f"{end} {sign} x", f"x = {end}", end]
    bounds += [f"x {sign} {as_fraction(other)}" for other in near_values(value)]
    others = [f"{end} {flipped} x", f"x {sign}{end}".replace(r"\le", r"\leq ").replace(r"\ge", r"\geq ")]
    return Sample([f"x {sign} {end}"], [*others, f"x {sign} {end}".replace(r"\le", "≤").replace(r"\ge", "≥")], bounds)


def difference_bounds(rng: random.Random) -> Sample:
    (x, y), n = rng.sample("abxyz", 2), rng.randint(1, 40)
    sign, flipped = rng.choice([("<", ">"), (r"\le ", r"\ge ")])
    wrong = [f"{x}{sign}{n}", f"{x}-{y}{flipped}{n}", f"{y}-{x}{sign}{n}", f"{x}+{y}{sign}{n}", f"{x}-{y}{sign}{n + 1}"]
    return Sample([f"{x}-{y}{sign}{n}"], [f"{n}{flipped}{x}-{y}", f"{x} - {y} {sign} {n}"], wrong)


def lines(rng: random.Random) -> Sample:
    a, b, c = distinct(rng, 3)

    def form(p: int, q: int, r: int) -> str:
        return f"{sum_of([(p, 'x'), (q, 'y'), (r, '')])}=0"

    changed = [(a, b, -c), (a, -b, c), (-a, b, c), (a, b, c + 13), (2 * a, b, c), (a, 2 * b, c), (b, a, c)]
    wrong = [form(*other) for other in changed if other != (a, b, c)]
    slope = f"y={as_fraction(Fraction(-a, b))}x{'+' if Fraction(-c, b) > 0 else ''}{as_fraction(Fraction(-c, b))}"
    others = [form(2 * a, 2 * b, 2 * c), form(-a, -b, -c), f"{sum_of([(a, 'x'), (b, 'y')])}={-c}", slope]
    return Sample([form(a, b, c)], others, wrong)


def unit_lines(rng: random.Random) -> Sample:
    (a, c), (x, y) = distinct(rng, 2, 30), rng.choice([("x", "y"), ("a", "b"), ("y", "z")])

    def form(p: int, q: int, r: int) -> str:
        return f"{sum_of([(p, x), (q, y), (r, '')])}=0"

    wrong = [form(a, -1, -c), form(-a, -1, c), form(a, 1, c), form(a, -1, c + 31), form(2 * a, -1, c), "0"]
    others = [form(-a, 1, -c), form(2 * a, -2, 2 * c), f"{y}={sum_of([(a, x), (c, '')])}"]
    return Sample([form(a, -1, c)], others, wrong)


def named_expressions(rng: random.Random) -> Sample:
    n, letter = rng.randint(2, 90), rng.choice("xyzt")
    name = rng.choice(
        [f"|{letter}|", rf"\frac{{{letter}}}{{p}}", f"{letter}^3", f"2{letter}", f"{letter}-1", rf"\sqrt{{{letter}}}"]
    )
    wrong = [f"{letter}={n}", f"{name}={n + 1}", f"{name}={-n}", rf"\frac{{p}}{{{letter}}}={n}"]
    return Sample([f"{name}={n}"], [f"{name} = {n}"], wrong)


def named_angles(rng: random.Random) -> Sample:
    p, q, r = rng.sample("ABCDEFPQ", 3)
    sign = rng.choice([r"\angle", r"\triangle", r"\overline"])
    if sign != r"\angle":
        return Sample([rf"{sign}{{{p}{q}}}"], [rf"{sign} {{{p}{q}}}"], [rf"{sign}{{{p}{r}}}", rf"{sign}{{{r}{q}}}"])
    return Sample([rf"\angle {p}{q}{r}"], [rf"\angle{{{p}{q}{r}}}"], [rf"\angle {p}{r}{q}", rf"\angle {q}{p}{r}"])


def relations(rng: random.Random) -> Sample:
    (p, q), pairs = rng.sample("ABCDpqrs", 2), [(r"\cup", r"\cap"), (r"\land", r"\lor"), (r"\parallel", r"\perp")]
    sign, other = rng.choice(pairs)[:: rng.choice([1, -1])]
    return Sample([f"{p} {sign} {q}"], [f"{p}{sign} {q}"], [f"{p} {other} {q}", f"{p}", f"{p}+{q}"])


def units_of_angle(rng: random.Random) -> Sample:
    n = rng.randint(2, 80)
    wrong = [rf"{n}'", rf"{n}''", rf"{n}\%", rf"{n}\text{{ rad}}", rf"{n + 1}^\circ", rf"{n}\pi", rf"{n}\text{{ cm}}"]
    return Sample([rf"{n}^\circ"], [rf"{n}^{{\circ}}", f"{n}°", rf"{n}\text{{ degrees}}", str(n)], wrong)


def conics(rng: random.Random) -> Sample:
    h, k = distinct(rng, 2)
    r = rng.randint(1, 12)

    def form(p: int, q: int, square: int) -> str:
        return f"(x{-p:+})^2+(y{-q:+})^2={square}"

    wrong = [form(-h, k, r * r), form(h, -k, r * r), form(k, h, r * r), form(h, k, r * r + 1), form(h, k, 10 * r * r)]
    wrong += [form(h, k, r * r).replace("+(y", "-(y"), f"{form(h, k, r * r).replace('(y', '2(y')}"]
    spread = sum_of([(1, "x^2"), (1, "y^2"), (-2 * h, "x"), (-2 * k, "y"), (h * h + k * k - r * r, "")])
    return Sample([form(h, k, r * r)], [f"{spread}=0", form(h, k, r * r).replace("^2", "^{2}")], wrong)


def assignments(rng: random.Random) -> Sample:
    x, y = distinct(rng, 2)
    wrong = [f"x={y}, y={x}", f"x={-x}, y={y}", f"x={x}, y={y + 13}", f"({y},{x})", f"x={x}", f"y={y}", f"x={x}, z={y}"]
    return Sample([f"x={x}, y={y}"], [f"y={y}, x={x}", rf"x = {x} \text{{ and }} y = {y}", f"({x},{y})"], wrong)


def single_assignments(rng: random.Random) -> Sample:
    value = Fraction(nonzero(rng, 50), rng.choice([1, 2, 4]))
    wrong = [f"n={as_fraction(other)}" for other in near_values(value)] + [
        as_fraction(other) for other in near_values(value)
    ]
    return Sample(
        [f"n={as_fraction(value)}"], [as_fraction(value), as_decimal(value), f"n = {as_decimal(value)}"], wrong
    )


def complex_numbers(rng: random.Random) -> Sample:
    a, b = distinct(rng, 2)

    def form(p: int, q: int) -> str:
        return sum_of([(p, ""), (q, "i")])

    wrong = [
        form(a, -b),
        form(-a, b),
        form(-a, -b),
        form(b, a),
        form(a, 10 * b),
        form(a + 13, b),
        form(a, 0),
        f"{a + b}",
    ]
    return Sample([form(a, b)], [sum_of([(b, "i"), (a, "")]), form(a, b).replace("i", r"\mathrm{i}")], wrong)
