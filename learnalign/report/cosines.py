"""Cosines of the prompts' gradients: means by group, exactly and without a matrix, and each prompt's nearest.

The mean of φ_i·φ_j over the pairs i ≠ j of two groups needs only the groups' sums of unit vectors: S_a·S_b / (n_a n_b), and
inside a group (‖S_a‖² − Σ‖φ_i‖²) / (n_a (n_a − 1)).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from learnalign.report.gather import Gathered
from learnalign.rundir.files import read_arrays

NEAREST = 5
WORK = 2e11  # products over all pairs, some seconds; beyond it fewer candidates are compared with


@dataclass(frozen=True)
class Cosines:
    """By name of a column: prompts with a gradient and mean cosines [groups, groups], NaN of no pair.

    `nearest` and `cosines` [prompts, 5] are places and cosines of the most aligned of the `candidates` best ranked prompts,
    −1 and NaN if there is none; `to_chosen` is the mean cosine with the (other) chosen prompts.
    """

    counts: dict[str, np.ndarray]
    means: dict[str, np.ndarray]
    nearest: np.ndarray
    cosines: np.ndarray
    to_chosen: np.ndarray
    candidates: int
    gradients: int


def measure_cosines(data: Gathered) -> Cosines | None:
    """Three passes over the stored gradients; None if there are none."""
    sums = {column.name: _Sums(column.codes, len(column.groups)) for column in data.columns}
    chosen = _Sums(data.chosen.astype(int), 2)
    seen: list[np.ndarray] = []
    dim = 0
    for places, units in _blocks(data):
        for each in (*sums.values(), chosen):
            each.add(places, units)
        seen.append(places)
        dim = units.shape[1]
    if not seen:
        return None
    compared = _candidates(data, np.concatenate(seen), dim)
    candidates = _read(data, compared)
    n = len(data.prompts)
    nearest, cosines, to_chosen = np.full((n, NEAREST), -1), np.full((n, NEAREST), np.nan), np.full(n, np.nan)
    for places, units in _blocks(data):
        own = data.chosen[places].astype(int)
        others = chosen.counts[1] - own
        dots = units @ chosen.sums[1] - own * _squares(units)
        to_chosen[places] = np.divide(dots, others, out=np.full(len(places), np.nan), where=others > 0)
        names, values = _nearest(units @ candidates.T, places, compared)
        nearest[places, : names.shape[1]], cosines[places, : names.shape[1]] = names, values
    return Cosines(
        counts={name: each.counts for name, each in sums.items()},
        means={name: each.means() for name, each in sums.items()},
        nearest=nearest,
        cosines=cosines,
        to_chosen=to_chosen,
        candidates=len(compared),
        gradients=sum(len(places) for places in seen),
    )


class _Sums:
    """Sums of unit vectors by group, S [groups, dim] in float64, of their squared lengths, and their numbers."""

    def __init__(self, codes: np.ndarray, groups: int) -> None:
        self._codes, self._groups = codes, groups
        self.counts = np.zeros(groups, int)
        self.sums: np.ndarray = np.zeros((groups, 0))
        self._squared = np.zeros(groups)

    def add(self, places: np.ndarray, units: np.ndarray) -> None:
        member = (self._codes[places][None, :] == np.arange(self._groups)[:, None]).astype(np.float64)
        sums = member @ units
        self.sums = self.sums + sums if self.sums.size else sums
        self._squared += member @ _squares(units)
        self.counts += member.sum(axis=1).astype(int)

    def means(self) -> np.ndarray:
        """Mean cosines [groups, groups] over the pairs i ≠ j, NaN of no pair."""
        dots = self.sums @ self.sums.T - np.diag(self._squared)
        pairs = np.outer(self.counts, self.counts) - np.diag(self.counts)
        return np.divide(dots, pairs, out=np.full(dots.shape, np.nan), where=pairs > 0)


def _squares(units: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", units, units, dtype=np.float64)


def _candidates(data: Gathered, seen: np.ndarray, dim: int) -> np.ndarray:
    """Places of the best ranked prompts with a gradient, as many as can be compared with all others."""
    has = np.zeros(len(data.prompts), bool)
    has[seen] = True
    return data.order[has[data.order]][: max(NEAREST + 1, int(WORK / (len(seen) * dim)))]


def _read(data: Gathered, wanted: np.ndarray) -> np.ndarray:
    """The unit rows of the places `wanted`, in their order."""
    row = np.full(len(data.prompts), -1)
    row[wanted] = np.arange(len(wanted))
    rows: np.ndarray | None = None
    for places, units in _blocks(data):
        rows = np.empty((len(wanted), units.shape[1]), units.dtype) if rows is None else rows
        rows[row[places][row[places] >= 0]] = units[row[places] >= 0]
    assert rows is not None, "there are gradients"
    return rows


def _blocks(data: Gathered) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places in the pool and unit rows [rows, dim], shard by shard."""
    for shard in data.shards():
        file = data.run.gradients_file(shard)
        if not file.is_file():
            continue
        arrays, metadata = read_arrays(file)
        places = np.array([data.places.get(id, -1) for id in json.loads(metadata["ids"])], int)
        if len(places):
            yield places[places >= 0], arrays["features"][places >= 0].astype(np.float32)


def _nearest(cosines: np.ndarray, places: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and cosines of each row's best columns, itself left out."""
    cosines[places[:, None] == names[None, :]] = -np.inf
    count = min(NEAREST, cosines.shape[1])
    best = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(cosines, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
    absent = np.isinf(values)
    return np.where(absent, -1, names[best]), np.where(absent, np.nan, values)
