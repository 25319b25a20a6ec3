"""Inputs: every reader of a user's files, fed with what hypothesis makes of them: rows, or one line that says what is wrong."""

from __future__ import annotations

import functools

from tests.torture.places import Place
from tests.torture.readers import READERS, try_examples
from tests.torture.trials import Outcome, Trial

NAMES: list[str] = []  # no run is needed
ROUNDS, EXAMPLES = 10, 100


def trials() -> list[Trial]:
    return [
        Trial(f"{reader} {start}", functools.partial(attack, reader=reader, start=start))
        for start in range(ROUNDS)
        for reader in READERS
    ]


def attack(place: Place, name: str, reader: str, start: int) -> list[Outcome]:
    """Feed the reader with examples of one seed; each one is an outcome."""
    ends = try_examples(reader, EXAMPLES, start)
    return [Outcome(f"{name}: {end} {i}", note=end) for end, count in ends.items() for i in range(count)]
