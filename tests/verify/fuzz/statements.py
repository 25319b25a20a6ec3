"""Families of ratios, bounds, labels, choices, matrices, bases, angles and solution families."""

from __future__ import annotations

import random
from fractions import Fraction

from tests.verify.fuzz.parts import Sample, as_decimal, as_fraction, distinct, sum_of


def ratios(rng: random.Random) -> Sample:
    a, b = rng.sample([2, 3, 5, 7, 11, 13], 2)
    wrong = [
        f"{b}:{a}",
        f"{a + 1}:{b}",
        f"{a}:{10 * b}",
        f"{a}:{b}:1",
        str(a),
        str(b),
        rf"\frac{{{b}}}{{{a}}}",
        f"{a * b}",
    ]
    return Sample([f"{a}:{b}"], [f"{a} : {b}", rf"\frac{{{a}}}{{{b}}}", rf"{a} \text{{ to }} {b}"], wrong)


def mixed_numbers(rng: random.Random) -> Sample:
    whole, part = rng.randint(1, 9), Fraction(rng.randint(1, 6), 7)
    value = whole + part
    top = part.numerator
    wrong = [
        rf"-{whole}\frac{{{top}}}{{7}}",
        rf"{whole + 1}\frac{{{top}}}{{7}}",
        rf"{whole}\frac{{{top + 1}}}{{8}}",
        str(whole),
    ]
    wrong += [as_fraction(whole - part), as_fraction(value + part), f"{whole}{top}/7", rf"{whole}\frac{{{top}}}{{70}}"]
    wrong += [as_fraction(whole * part)]
    return Sample(
        [rf"{whole}\frac{{{top}}}{{7}}", f"{whole} {top}/7"],
        [as_fraction(value), rf"{whole}+\frac{{{top}}}{{7}}", rf"{whole} \dfrac{{{top}}}{{7}}"],
        wrong,
    )


def bounds(rng: random.Random) -> Sample:
    n, words = rng.randint(2, 99), ["at least", "at most", "more than", "less than", "not"]
    word = rng.choice(words)
    wrong = [f"{w} {n}" for w in words if w != word] + [f"{word} {n + 1}", f"{word} {10 * n}", str(n), str(n + 1)]
    return Sample([f"{word} {n}"], [f"{word.capitalize()} {n}"], wrong, is_text=True)


def changes(rng: random.Random) -> Sample:
    n, (word, other) = rng.randint(2, 99), rng.sample(["increase", "decrease"], 2)
    wrong = [
        f"{other} by {n}%",
        f"{word} by {n + 1}%",
        f"{other} of {n}%",
        f"{word} by {10 * n}%",
        str(n + 1),
        f"-{n}%",
    ]
    return Sample([f"{word} by {n}%"], [f"{word} by {n} %"], wrong[: 5 if word == "decrease" else 6], is_text=True)


def remainders(rng: random.Random) -> Sample:
    a, b = rng.sample(range(2, 30), 2)
    wrong = [f"{b} remainder {a}", f"{a} remainder {b + 1}", f"{a + 1} remainder {b}", str(a), str(b), f"{a}.{b}"]
    return Sample([f"{a} remainder {b}", f"{a} R {b}"], [f"{a} r {b}"], [*wrong, f"{b} R {a}"], is_text=True)


def labels(rng: random.Random) -> Sample:
    n, (word, other) = rng.randint(2, 60), rng.sample(["Team", "Group", "Room", "Chapter", "Bus", "Door"], 2)
    wrong = [
        f"{other} {n}",
        f"{word} {n + 1}",
        f"{word} {10 * n}",
        f"{word} -{n}",
        f"{other} {n + 1}",
        str(n + 1),
        word,
    ]
    return Sample([f"{word} {n}"], [f"{word.lower()} {n}"], wrong, is_text=True)


def named_counts(rng: random.Random) -> Sample:
    (a, b), (word, other) = rng.sample(range(2, 40), 2), rng.sample(["cats", "dogs", "red", "blue", "apples"], 2)
    wrong = [
        f"{b} {word} and {a} {other}",
        f"{a} {word} and {b + 1} {other}",
        f"{a} {word}",
        str(a),
        str(b),
        f"{a + b}",
    ]
    return Sample([f"{a} {word} and {b} {other}"], [f"{a} {word}, {b} {other}"], wrong, is_text=True)


def choices(rng: random.Random) -> Sample:
    right, other, third = rng.sample("ABCDE", 3)
    wrong = [
        other,
        f"({other})",
        rf"\textbf{{({other})}}",
        f"{right} and {other}",
        f"{other}, {third}",
        f"{right}, {other}",
    ]
    return Sample(
        [right, f"({right})"], [right.lower(), f"{right}.", rf"\textbf{{({right})}}", f"{right})"], wrong, is_text=True
    )


def matrices(rng: random.Random) -> Sample:
    a, b, c, d = distinct(rng, 4)

    def form(*entries: int, kind: str = "pmatrix") -> str:
        p, q, r, s = entries
        return rf"\begin{{{kind}}}{p} & {q} \\ {r} & {s}\end{{{kind}}}"

    wrong = [
        form(a, c, b, d),
        form(-a, b, c, d),
        form(a, b, c, d + 13),
        form(c, d, a, b),
        form(d, b, c, a),
        f"{a * d - b * c}",
    ]
    wrong.append(rf"\begin{{pmatrix}}{a} & {b} & {c} & {d}\end{{pmatrix}}")
    return Sample([form(a, b, c, d)], [form(a, b, c, d, kind="bmatrix"), form(a, b, c, d).replace(" ", "")], wrong)


def bases(rng: random.Random) -> Sample:
    base = rng.choice([5, 6, 7, 8])
    digits = [rng.randint(1, base - 2) for _ in range(rng.randint(3, 5))]
    text = "".join(map(str, digits))
    wrong = [
        f"{text}_{{{base + 1}}}",
        f"{text[:-1]}{digits[-1] + 1}_{{{base}}}",
        f"{text}0_{{{base}}}",
        f"-{text}_{{{base}}}",
    ]
    wrong += [f"{text[::-1]}_{{{base}}}"] if text != text[::-1] else []
    return Sample(
        [f"{text}_{base}", f"{text}_{{{base}}}"], [rf"{text}_{{\text{{{base}}}}}", f"({text})_{{{base}}}"], wrong
    )


def angles(rng: random.Random) -> Sample:
    degrees, minutes = rng.randint(1, 170), rng.choice([6, 12, 15, 30, 45])
    decimal = as_decimal(Fraction(60 * degrees + minutes, 60))
    wrong = [
        rf"{degrees}^\circ {minutes + 1}'",
        rf"{degrees + 1}^\circ {minutes}'",
        rf"{degrees}^\circ",
        rf"{degrees}.{minutes:02}1^\circ",
    ]
    wrong += [rf"-{degrees}^\circ {minutes}'", rf"{degrees}^\circ {minutes}''"]
    return Sample(
        [rf"{degrees}^\circ {minutes}'"],
        [rf"{decimal}^\circ", f"{degrees}°{minutes}′", rf"{degrees}^{{\circ}}{minutes}^{{\prime}}"],
        wrong,
    )


def congruences(rng: random.Random) -> Sample:
    modulus = rng.randint(5, 40)
    residue = rng.randint(1, modulus - 2)
    wrong = [(residue + 1, modulus), (residue, modulus + 1), (residue, 2 * modulus)]
    wrong += [(-residue, modulus)] if 2 * residue != modulus else []
    form = r"x \equiv {} \pmod{{{}}}".format
    others = [
        rf"x\equiv {residue}\ (\mathrm{{mod}}\ {modulus})",
        form(residue + modulus, modulus),
        rf"x ≡ {residue} \pmod {modulus}",
    ]
    return Sample(
        [form(residue, modulus)],
        others,
        [*(form(*other) for other in wrong), str(residue), str(modulus), f"x={residue}"],
    )


def solution_families(rng: random.Random) -> Sample:
    offset, period = Fraction(rng.randint(1, 11), 12), rng.choice([1, 2])

    def form(start: Fraction, step: int, letter: str = "k") -> str:
        angle = rf"{'-' if start < 0 else ''}\frac{{{abs(start.numerator)}\pi}}{{{start.denominator}}}"
        return rf"x={angle}+{sum_of([(step, letter)])}\pi, {letter}\in\mathbb{{Z}}"

    changed = [(offset, 3 - period), (offset, 3), (-offset, period), (offset + Fraction(1, 12), period)]
    changed += [(offset / 2, period), (offset + 1, period)]
    wrong = [form(o, p) for o, p in changed if p != period or (o - offset) % period != 0]
    bare = form(offset, period).partition(",")[0]
    single = bare.partition("+")[0]
    return Sample(
        [form(offset, period)],
        [form(offset, period, "n"), form(offset, period).replace("x=", "x = ")],
        [*wrong, single],
    )


def repeating(rng: random.Random) -> Sample:
    digits = f"{rng.randint(1, 98):02}"
    if digits[0] == digits[1]:
        return repeating(rng)
    value = Fraction(int(digits), 99)
    wrong = [
        f"0.{digits}",
        rf"0.\overline{{{digits[::-1]}}}",
        rf"0.{digits[0]}\overline{{{digits[1]}}}",
        rf"-0.\overline{{{digits}}}",
    ]
    wrong += [as_fraction(value * 10), f"0.{digits}{digits}", rf"1.\overline{{{digits}}}"]
    return Sample([rf"0.\overline{{{digits}}}", as_fraction(value)], [rf"0.{digits}\overline{{{digits}}}"], wrong)


def hedges(rng: random.Random) -> Sample:
    n = rng.randint(2, 500)
    wrong = [
        f"{n} or {n + 1}",
        f"{n + 1}, or maybe {n}",
        f"between {n} and {n + 2}",
        f"{n} to {n + 3}",
        f"not {n}",
        f"{n} + 1",
    ]
    wrong += [f"at most {n}", f"more than {n}", f"{n}, {n + 1}", f"{n}-{n + 2}", f"{n}% of {n + 1}", f"{n} times 2"]
    return Sample([str(n)], [f"about {n}", f"exactly {n}", f"{n} apples", f"**{n}**"], wrong, is_text=True)
