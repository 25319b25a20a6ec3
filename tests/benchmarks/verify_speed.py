"""Measures completions per second of `math` by kind of answer: `python -m tests.benchmarks.verify_speed [WORKERS]`.

Groups of 8 completions of about 1,200 characters: four correct (two as the gold, two in another notation), four wrong
in four ways. Each group has its own numbers. Workers are warm: their starting time is printed separately.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from learnalign.verify import Item, open_verifier

GROUP = 8
REASONING = r"Let $x$ be the number we look for, so that \(3x + 4 = 19\) and hence $x = \frac{15}{3}$. We go on. " * 12


def _integer(a: int, b: int) -> tuple[str, str, str]:
    return str(a), str(a), str(a + b)


def _fraction(a: int, b: int) -> tuple[str, str, str]:
    return rf"\frac{{{a}}}{{{b}}}", rf"\frac{{{3 * a}}}{{{3 * b}}}", rf"\frac{{{a + 1}}}{{{b}}}"


def _root(a: int, b: int) -> tuple[str, str, str]:
    return rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"{a + 1}\sqrt{{{b}}}"


def _polynomial(a: int, b: int) -> tuple[str, str, str]:
    return f"x^2 + {a + b}x + {a * b}", f"(x+{a})(x+{b})", f"(x+{a})(x-{b})"


def _interval(a: int, b: int) -> tuple[str, str, str]:
    return rf"[{a}, {a + b})", rf"\left[{a},{a + b}\right)", rf"[{a},{a + b}]"


KINDS: dict[str, Callable[[int, int], tuple[str, str, str]]] = {
    "integer": _integer,
    "fraction": _fraction,
    "root": _root,
    "polynomial": _polynomial,
    "interval": _interval,
}


def items(kind: str, count: int, boxed: bool) -> list[Item]:
    """Make `count` completions of one kind; each group has its own numbers."""
    draw = random.Random(kind)
    completions = []
    for _ in range(count // GROUP):
        a, b = draw.randrange(2, 10_000), draw.randrange(2, 10_000)
        gold, right, _ = KINDS[kind](a, b)
        for answer in [gold, gold, right, right, *(KINDS[kind](a + i, b + 1)[2] for i in range(4))]:
            text = REASONING + (rf"So \boxed{{{answer}}}." if boxed else f"The answer is ${answer}$.")
            completions.append(Item(text, gold))
    return completions


def main() -> None:
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with open_verifier("math", workers=workers) as verifier:
        started = time.perf_counter()
        verifier.score(items("root", 64, True) + items("interval", 64, True) + items("polynomial", 64, True))
        print(f"{workers} workers started and warmed up in {time.perf_counter() - started:.1f} s")
        for kind in KINDS:
            for boxed in (True, False):
                timed = items(kind, 20_000 if kind == "integer" else 1_600, boxed)[64:]
                started = time.perf_counter()
                verdicts = verifier.score(timed)
                seconds = time.perf_counter() - started
                correct = sum(verdict.reward == 1.0 for verdict in verdicts)
                form = "boxed" if boxed else "in a sentence"
                rate = f"{len(timed) / seconds:8.0f} completions/s"
                print(f"{kind:>10} {form:<13} {rate} ({correct} of {len(timed)} correct)")


if __name__ == "__main__":
    main()
