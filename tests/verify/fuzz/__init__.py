"""Generated answer pairs whose right verdict follows from exact values (see `parts`), drawn from every family."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.verify.fuzz import measures, numbers, statements, structures
from tests.verify.fuzz.parts import FuzzPair, Sample, stated

FAMILIES: list[Callable[[random.Random], Sample]] = [
    value
    for module in (numbers, structures, measures, statements)
    for name, value in vars(module).items()
    if getattr(value, "__annotations__", {}).get("return") == "Sample" and not name.startswith("_")
]


def false_pairs(a_family: int, seed: int = 0) -> list[FuzzPair]:
    """Distinct pairs of different values, `a_family` of each family."""
    return _pairs(a_family, seed, lambda rng, s: (rng.choice(s.golds), rng.choice(s.wrong)))


def true_pairs(a_family: int, seed: int = 0) -> list[FuzzPair]:
    """Distinct pairs of one value in two notations, or in one with words around it."""
    return _pairs(a_family, seed, lambda rng, s: (rng.choice(s.golds), rng.choice([*s.golds, *s.others])))


def _pairs(a_family: int, seed: int, draw: Callable[[random.Random, Sample], tuple[str, str]]) -> list[FuzzPair]:
    pairs: dict[FuzzPair, None] = {}
    for family in FAMILIES:
        rng = random.Random(f"{seed} {family.__name__}")
        for _ in range(a_family):
            sample = family(rng)
            gold, answer = draw(rng, sample)
            pairs[FuzzPair(family.__name__, gold, stated(rng, answer, sample.is_text))] = None
    return list(pairs)
