"""S by landmarks (Nyström; Williams and Seeger, 2000; LearnAlign, App. G.2): O(n·c) numbers in place of n².

Of unit rows U [n, D] and c landmarks' rows L among them, with C = U Lᵀ and W = L Lᵀ: U Uᵀ ≈ C W⁺ Cᵀ. With W = Q Λ Qᵀ and
B = Λ^−½ Qᵀ L, whose r rows are orthonormal, this is F Fᵀ for F = U Bᵀ [n, r]: row f_i is what the landmarks span of û_i. So
S_ij = w_i w_j ⟨û_i, û_j⟩ ≈ w_i w_j ⟨f_i, f_j⟩, exactly if i or j is a landmark, and the cosine's error is at most
√(1 − ‖f_i‖²) √(1 − ‖f_j‖²). No torch: the report uses it, too.
Letters: n prompts of the pool, c landmarks, r ≤ c the rank of W, D entries of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from learnalign.errors import counted
from learnalign.randomness import key_of

CUTOFF = 1e-10  # eigenvalues of W below this share of the largest are zero: copies of a landmark, up to rounding
CHECKED = 512  # prompts between whose pairs the error is measured

Rows = Callable[[], Iterable[tuple[Int[np.ndarray, "rows"], Float[np.ndarray, "rows D"]]]]


@dataclass(frozen=True)
class Landmarks:
    """The landmarks' places in the pool, and an orthonormal basis of what their unit rows span, W's largest eigenvalue first.

    The first rows of the basis are the directions that most of U lies in, as far as the landmarks tell.
    """

    places: Int[np.ndarray, "c"]
    basis: Float[np.ndarray, "r D"]

    def factor(self, units: Float[np.ndarray, "rows D"]) -> Float[np.ndarray, "rows r"]:
        """Rows f of F: ⟨f_i, f_j⟩ ≈ ⟨û_i, û_j⟩."""
        return units @ self.basis.T


@dataclass(frozen=True)
class Error:
    """Of S by `landmarks`, over the pairs of sampled prompts i ≠ j: root mean square and largest error of a cosine, ‖S − Ŝ‖ / ‖S‖."""

    landmarks: int
    prompts: int
    cosine: float
    cosine_max: float
    relative: float

    def describe(self) -> str:
        """The words for the user."""
        return (
            f"by {counted(self.landmarks, 'landmark')}; between {counted(self.prompts, 'sampled prompt')}, S is off by "
            f"{100 * self.relative:.2g} % (Frobenius) and a cosine by {self.cosine:.2g} (root mean square), at most {self.cosine_max:.2g}"
        )


def find_landmarks(rows: Rows, weights: Float[np.ndarray, "n"], count: int, seed: int) -> Landmarks:
    """`count` landmarks out of the prompts with a row and a weight (all, if there are fewer), drawn by S_ii = w_i².

    Two prompts are never the same draw, and the draws depend on the seed and on places alone, not on shards. One pass, in which
    the landmarks' rows are held; W and its eigenvectors are in float64.
    """
    places, units = sample(rows, weights**2, count, key_of(seed, "landmarks"))
    double = units.astype(np.float64)
    values, vectors = np.linalg.eigh(double @ double.T)
    kept = np.flatnonzero(values > CUTOFF * values.max(initial=0.0))[::-1]
    basis = (vectors[:, kept] / np.sqrt(values[kept])).T @ double
    return Landmarks(places, basis.astype(np.float32))


def sample(
    rows: Rows, chances: Float[np.ndarray, "n"], count: int, key: int
) -> tuple[Int[np.ndarray, "c"], Float[np.ndarray, "c D"]]:
    """Places and rows of `count` prompts, ascending, drawn one after another without replacement by their `chances`.

    Each prompt gets an exponential waiting time of its rate; the first ones are drawn (Efraimidis and Spirakis, 2006).
    """
    times = np.full(len(chances), np.inf)
    waiting = np.random.default_rng(key).exponential(size=len(chances))
    np.divide(waiting, chances, out=times, where=chances > 0)
    drawn, kept, last = np.zeros(0, np.int64), np.zeros((0, 0), np.float32), np.inf
    for places, units in rows():
        new = np.flatnonzero(times[places] < last)
        if not len(new):
            continue
        drawn = np.concatenate([drawn, places[new]])
        kept = np.concatenate([kept, units[new]]) if kept.size else units[new]
        if len(drawn) > count:
            first = np.argpartition(times[drawn], count)[:count]
            drawn, kept = drawn[first], kept[first]
            last = times[drawn].max()
    order = np.argsort(drawn)
    return drawn[order], kept[order]


def measure_error(rows: Rows, weights: Float[np.ndarray, "n"], landmarks: Landmarks, seed: int) -> Error:
    """The error of S between the pairs of `CHECKED` prompts drawn evenly (all, if there are fewer), against exact cosines."""
    places, units = sample(rows, np.ones(len(weights)), CHECKED, key_of(seed, "checked"))
    double, factor = units.astype(np.float64), landmarks.factor(units).astype(np.float64)
    cosines, pairs = double @ double.T, ~np.eye(len(places), dtype=bool)
    products = np.outer(weights[places], weights[places])[pairs]
    errors, exact = (factor @ factor.T - cosines)[pairs], products * cosines[pairs]
    size = float(np.linalg.norm(exact))
    return Error(
        landmarks=len(landmarks.places),
        prompts=len(places),
        cosine=float(np.sqrt(np.mean(errors**2))) if len(errors) else 0.0,
        cosine_max=float(np.abs(errors).max(initial=0.0)),
        relative=float(np.linalg.norm(products * errors)) / size if size else 0.0,
    )
