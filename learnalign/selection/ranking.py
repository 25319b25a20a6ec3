"""From scores to a ranking, and from a ranking to the chosen prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from learnalign.config.keys import type_of
from learnalign.errors import InputError, counted
from learnalign.selection.methods.method import Method, Scores


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The pool ranked by a method: `order` holds places in the pool, best first, `chosen` those of the subset.

    `reasons` says why a prompt cannot be chosen, null if it can.
    """

    method: Method
    label: str
    size: int
    scores: Scores
    order: Int[np.ndarray, "n"]
    eligible: Bool[np.ndarray, "n"]
    chosen: Int[np.ndarray, "chosen"]
    clusters: Int[np.ndarray, "n"] | None
    reasons: pa.StringArray


def rank(score: Float[np.ndarray, "n"], ids: pa.StringArray | pa.ChunkedArray) -> Int[np.ndarray, "n"]:
    """Places in the pool, best score first; ties by ascending id, prompts without a score (NaN) last."""
    key = np.where(np.isnan(score), np.inf, -score)
    order = np.argsort(key)
    same = key[order[1:]] == key[order[:-1]]
    tied = np.append(same, False) | np.insert(same, 0, False)
    places = order[tied]
    by_id = places[pc.sort_indices(ids.take(pa.array(places))).to_numpy()]
    order[tied] = by_id[np.argsort(key[by_id], kind="stable")]
    return order


def choose(
    order: Int[np.ndarray, "n"],
    eligible: Bool[np.ndarray, "n"],
    size: int,
    clusters: Int[np.ndarray, "n"] | None = None,
    fill: bool = False,
) -> Int[np.ndarray, "chosen"]:
    """The first `size` eligible places of `order`, in its order.

    With `clusters` (App. H), takes the best of each in proportion to its eligible prompts (largest remainders first,
    then lower cluster numbers). With `fill`, takes what is missing from the rest of the ranking.
    """
    ranked = order[eligible[order]]
    if clusters is None or len(ranked) <= size:
        chosen = ranked[:size]
    else:
        quotas = _quotas(np.bincount(clusters[ranked], minlength=int(clusters.max()) + 1), size)
        best = [ranked[clusters[ranked] == cluster][:quota] for cluster, quota in enumerate(quotas)]
        chosen = order[np.isin(order, np.concatenate(best))]
    if fill and len(chosen) < size:
        chosen = np.concatenate([chosen, order[~np.isin(order, chosen)][: size - len(chosen)]])
    return chosen


def _quotas(members: Int[np.ndarray, "k"], size: int) -> list[int]:
    """Divides `size` places in proportion to `members`; no cluster gets more than it has."""
    exact = members * (size / members.sum())
    quotas = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - quotas), kind="stable")
    quotas[order[: size - int(quotas.sum())]] += 1
    return [int(quota) for quota in quotas]


def size_of(size: int | float, count: int) -> int:
    """N from a number of prompts, or a fraction of the pool in (0, 1) rounded to at least 1; raises InputError."""
    if isinstance(size, bool) or (isinstance(size, float) and not size.is_integer() and not 0 < size < 1) or size <= 0:
        raise InputError(f"size: got {size:g}, but it should be {type_of('select.size')}, for a fraction of the pool")
    if size < 1:
        return max(1, round(size * count))
    if size > count:
        raise InputError(
            f"size {size:,.0f} is more than the {counted(count, 'prompt')} of the pool; choose at most {count} with -n or "
            "select.size, or a fraction of the pool such as -n 0.1"
        )
    return int(size)
