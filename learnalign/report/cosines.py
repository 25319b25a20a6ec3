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
WORK = 5e11  # products of one pass over all pairs, some ten seconds; beyond it fewer candidates are compared with


@dataclass(frozen=True)
class Cosines:
    """By name of a column: prompts with a gradient and mean cosines [groups, groups], NaN of no pair.

    `nearest` and `cosines` [prompts, 5] are places and cosines of the most aligned of the `candidates` best ranked prompts,
    −1 and NaN where there is none; `to_chosen` is the mean cosine with the (other) chosen prompts.
    """

    counts: dict[str, np.ndarray]
    means: dict[str, np.ndarray]
    nearest: np.ndarray
    cosines: np.ndarray
    to_chosen: np.ndarray
    candidates: int
    gradients: int


def measure_cosines(data: Gathered) -> Cosines | None:
    """Two passes over the stored gradients; None if there are none."""
    first = next(_blocks(data), None)
    if first is None:
        return None
    n, dim = len(data.prompts), first[1].shape[1]
    with_gradient = max(1, int(data.learnable.sum()))
    candidates = np.zeros(n, bool)
    candidates[data.order[: min(with_gradient, max(1, int(WORK / (with_gradient * dim))))]] = True
    groups = {column.name: (column.codes, len(column.groups)) for column in data.columns}
    sums = {name: np.zeros((size, dim)) for name, (_, size) in groups.items()}
    squares = {name: np.zeros(size) for name, (_, size) in groups.items()}
    counts = {name: np.zeros(size, int) for name, (_, size) in groups.items()}
    chosen_sum, chosen_count, kept, kept_places, total = np.zeros(dim), 0, [], [], 0
    for places, units in _blocks(data):
        for name, (codes, size) in groups.items():
            member = (codes[places][None, :] == np.arange(size)[:, None]).astype(np.float64)
            sums[name] += member @ units
            squares[name] += member @ (units.astype(np.float64) ** 2).sum(axis=1)
            counts[name] += member.sum(axis=1).astype(int)
        own = data.chosen[places]
        chosen_sum += units[own].sum(axis=0, dtype=np.float64)
        chosen_count += int(own.sum())
        kept.append(units[candidates[places]])
        kept_places.append(places[candidates[places]])
        total += len(places)
    against, names = np.concatenate(kept), np.concatenate(kept_places)
    nearest, cosines = np.full((n, NEAREST), -1), np.full((n, NEAREST), np.nan)
    to_chosen = np.full(n, np.nan)
    for places, units in _blocks(data):
        own = data.chosen[places].astype(int)
        others = chosen_count - own
        dots = units @ chosen_sum - own * (units.astype(np.float64) ** 2).sum(axis=1)
        to_chosen[places] = np.divide(dots, others, out=np.full(len(places), np.nan), where=others > 0)
        found = _nearest(units @ against.T, places, names)
        nearest[places, : found[0].shape[1]], cosines[places, : found[0].shape[1]] = found
    means = {name: _means(sums[name], squares[name], counts[name]) for name in groups}
    return Cosines(counts, means, nearest, cosines, to_chosen, len(names), total)


def _blocks(data: Gathered) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places in the pool and unit rows [rows, dim], shard by shard."""
    for shard in data.shards():
        file = data.run.gradients_file(shard)
        if not file.is_file():
            continue
        arrays, metadata = read_arrays(file)
        places = np.array([data.places.get(id, -1) for id in json.loads(metadata["ids"])], int)
        if len(places):
            yield places[places >= 0], arrays["features"][places >= 0]


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


def _means(sums: np.ndarray, squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    dots = sums @ sums.T - np.diag(squares)
    pairs = np.outer(counts, counts) - np.diag(counts)
    return np.divide(dots, pairs, out=np.full(dots.shape, np.nan), where=pairs > 0)
