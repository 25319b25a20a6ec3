"""Kinds of damage to a file of a run: bits, bytes, neighbours, and files of other runs."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.torture.contents import files
from tests.torture.places import Place

OTHERS: dict[str, dict[str, Any]] = {
    "of another seed": {"changes": {"seed": 1}},
    "of another pool": {"first_row": 16},
}
SWAPPED, COPIED = "swapped with a neighbour", "overwritten by a neighbour"
_other_runs: dict[str, Place] = {}
_making = threading.Lock()


def _flip(path: Path, random_: random.Random) -> None:
    raw = bytearray(path.read_bytes())
    if raw:
        raw[random_.randrange(len(raw))] ^= 1 << random_.randrange(8)
    path.write_bytes(raw)


def _cut(path: Path, keep: Callable[[int], int]) -> None:
    path.write_bytes(path.read_bytes()[: keep(path.stat().st_size)])


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "one bit flipped": _flip,
    "emptied": lambda path, _: _cut(path, lambda size: 0),
    "cut to half": lambda path, _: _cut(path, lambda size: size // 2),
    "without its last byte": lambda path, _: _cut(path, lambda size: size - 1),
    "deleted": lambda path, _: path.unlink(),
}
REPLACED = (SWAPPED, COPIED, *OTHERS)


def damage_file(place: Place, path: Path, damage: str, random_: random.Random) -> None:
    """Damage the file in one of the ways of DAMAGES and REPLACED; it may stay as it is if nothing takes its place."""
    if damage in DAMAGES:
        DAMAGES[damage](path, random_)
    elif damage in OTHERS:
        other = _other_run(place, damage).state("compare") / path.relative_to(place.run)
        if other.is_file():
            shutil.copyfile(other, path)
    elif neighbours := [each for each in path.parent.glob(f"*{path.suffix}") if each != path and each.is_file()]:
        neighbour = random_.choice(sorted(neighbours))
        mine, its = path.read_bytes(), neighbour.read_bytes()
        path.write_bytes(its)
        if damage == SWAPPED:
            neighbour.write_bytes(mine)


def changed(original: Path, run: Path) -> list[str]:
    """Files of `original` that are missing or have other bytes."""
    return [
        each
        for each, path in files(original).items()
        if not (run / each).is_file() or (run / each).read_bytes() != path.read_bytes()
    ]


def changed_work(original: Path, run: Path) -> list[str]:
    """The same of a training's checkpoints."""
    paths = [path.relative_to(original) for path in original.rglob("checkpoint-*/*") if path.is_file()]
    return [
        str(each)
        for each in paths
        if not (run / each).is_file() or (run / each).read_bytes() != (original / each).read_bytes()
    ]


def _other_run(place: Place, kind: str) -> Place:
    """A run with the same settings but another seed, or on other rows; made once."""
    with _making:
        if kind not in _other_runs:
            _other_runs[kind] = Place(place.root.parent / kind.replace(" ", "-"), **OTHERS[kind])
        _other_runs[kind].state("compare")
    return _other_runs[kind]
