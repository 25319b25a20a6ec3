"""Groups of prompts whose gradients are alike, in any number of prompts: the leading eigenvectors of their cosines by landmarks.

The pool is divided in two, then the part that differs most, and so on (bisecting k-means; Steinbach, Karypis and Kumar, 2000), so that
groups that are alike stand beside one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnalign.selection.nystrom import Rows, find_landmarks

LANDMARKS = 256
DIRECTIONS = 32
GROUPS = 8
FEWEST = 8  # prompts of a group, on average
ROUNDS = 20


@dataclass(frozen=True)
class Alike:
    """By prompt the number of its group, −1 without a gradient; of each group the place of its most typical prompt.

    `within` is the share of the gradients' squared length within the `directions` that the groups were told apart by.
    """

    codes: np.ndarray
    typical: list[int]
    landmarks: int
    directions: int
    within: float


def find_alike(rows: Rows, count: int, seed: int) -> Alike | None:
    """Groups of the prompts that have a row, of `count` in all; None if there are too few, or all rows are the same.

    Two passes over the rows, of which those of the landmarks and 32 numbers of each are held.
    """
    landmarks = find_landmarks(rows, np.ones(count), LANDMARKS, seed)
    directions = landmarks.basis[:DIRECTIONS]
    blocks = [(own, units @ directions.T) for own, units in rows()] if len(directions) else []
    if not blocks:
        return None
    places, points = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    parts = split(points, min(GROUPS, len(places) // FEWEST))
    if len(parts) < 2:
        return None
    codes, typical = np.full(count, -1), []
    for code, part in enumerate(parts):
        codes[places[part]] = code
        typical.append(int(places[part[np.argmax(points[part] @ points[part].mean(axis=0))]]))
    within = float(np.square(points, dtype=np.float64).sum() / len(points))
    return Alike(codes, typical, len(landmarks.places), len(directions), within)


def split(points: np.ndarray, count: int) -> list[np.ndarray]:
    """`count` parts of the points' numbers; fewer if points are the same."""
    parts = [np.arange(len(points))]
    while len(parts) < count:
        widest = int(np.argmax([_scatter(points[part]) for part in parts]))
        part = parts[widest]
        first = _first(points[part])
        sides = part[first], part[~first]
        if not all(map(len, sides)):
            break
        parts[widest : widest + 1] = sides
    return parts


def _first(points: np.ndarray) -> np.ndarray:
    """Whether each point is in the first of two parts: 2-means, from both sides of the mean along the leading direction."""
    centred = points - points.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    first = centred @ (direction * np.sign(direction[np.abs(direction).argmax()])) > 0
    for _ in range(ROUNDS):
        if first.all() or not first.any():
            break
        one, other = points[first].mean(axis=0), points[~first].mean(axis=0)
        before, first = first, points @ (one - other) > (one @ one - other @ other) / 2
        if (before == first).all():
            break
    return first


def _scatter(points: np.ndarray) -> float:
    return float(np.square(points - points.mean(axis=0), dtype=np.float64).sum())
