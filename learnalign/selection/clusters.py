"""Diversity by k-means on the `features` signal (App. H)."""

from __future__ import annotations

import re

import numpy as np
import torch
from jaxtyping import Float, Int

from learnalign.errors import InputError, RunError, counted
from learnalign.selection.pool import Pool, gathered

ROUNDS = 100


def parse_diversity(text: str | None) -> int | None:
    """K of `kmeans:K`; None for None."""
    if text is None:
        return None
    match = re.fullmatch(r"kmeans:([1-9]\d*)", text)
    if not match:
        raise InputError(f"diversity {text}: expected kmeans:K with K clusters, such as kmeans:10")
    return int(match[1])


def clusters_of(pool: Pool, count: int, seed: int) -> Int[np.ndarray, "n"]:
    """The cluster of every prompt, 0 to `count` − 1; prompts without a feature get cluster `count`."""
    if count > len(pool):
        raise InputError(f"diversity kmeans:{count}: more clusters than the {counted(len(pool), 'prompt')} of the pool")
    every = gathered(pool.hidden_features())
    if not len(every.places):
        raise RunError(f"{pool.run.signal_file('features')} has no features")
    clusters = np.full(len(pool), count)
    clusters[every.places] = kmeans(every.units, min(count, len(every.places)), seed).numpy()
    return clusters


def kmeans(points: Float[torch.Tensor, "m D"], count: int, seed: int) -> Int[torch.Tensor, "m"]:
    """Lloyd's algorithm in float64 from k-means++ seeds; an empty cluster takes the farthest point."""
    points = points.double()
    centers = _seeds(points, count, torch.Generator().manual_seed(seed))
    nearest = torch.full((len(points),), -1)
    for _ in range(ROUNDS):
        distances = _distances(points, centers)
        before, nearest = nearest, distances.argmin(dim=1)
        if torch.equal(before, nearest):
            break
        members = torch.zeros(count, dtype=torch.float64).index_add_(0, nearest, torch.ones(len(points)).double())
        sums = torch.zeros_like(centers).index_add_(0, nearest, points)
        centers = sums / members.clamp_min(1)[:, None]
        farthest = distances.gather(1, nearest[:, None]).squeeze(1).argsort(descending=True, stable=True)
        empty = (members == 0).nonzero().squeeze(1)
        centers[empty] = points[farthest[: len(empty)]]
    return nearest


def _seeds(points: Float[torch.Tensor, "m D"], count: int, generator: torch.Generator) -> Float[torch.Tensor, "K D"]:
    """k-means++: draws each seed in proportion to its squared distance from the earlier seeds."""
    first = int(torch.randint(len(points), (1,), generator=generator))
    chosen = [first]
    nearest = _distances(points, points[[first]]).squeeze(1)
    for _ in range(count - 1):
        weights = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        nearest = torch.minimum(nearest, _distances(points, points[chosen[-1:]]).squeeze(1))
    return points[chosen]


def _distances(points: Float[torch.Tensor, "m D"], centers: Float[torch.Tensor, "K D"]) -> Float[torch.Tensor, "m K"]:
    """Squared Euclidean distances."""
    squares = (points**2).sum(1)[:, None] - 2 * points @ centers.T + (centers**2).sum(1)
    return squares.clamp_min(0)
