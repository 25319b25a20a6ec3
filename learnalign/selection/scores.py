"""Row means of S (Eq. 8), exactly, in two ways: block by block of rows, or through the centroid.

S_ij = w_i w_j ⟨û_i, û_j⟩ for unit vectors û and weights w. Its row mean is w_i times the alignment of i,
a_i = 1/n Σ_j w_j ⟨û_i, û_j⟩ = ⟨û_i, 1/n Σ_j w_j û_j⟩, j = i included. With w = V this is the paper's score.
Letters: n prompts of the pool, m of them with a vector, D its entries, k weights of each prompt, the first of which are S's.
"""

from __future__ import annotations

import contextlib
import functools
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int

from learnalign.errors import InputError
from learnalign.gradients.sums import in_float64, weighted_sums
from learnalign.policy import device
from learnalign.policy.memory import free_memory
from learnalign.rundir.files import atomic_path
from learnalign.selection.nystrom import Error, find_landmarks, measure_error
from learnalign.selection.pool import Vectors, gathered

BLOCK_ENTRIES = 1 << 25  # cosines of one block of rows: 128 MB, and 256 MB of their float64 copy
ONE_THREAD = 1 << 18  # multiplications up to which NumPy's BLAS starts no threads, which would wait for each other

Way = Literal["auto", "matrix", "centroid"]
Stream = Callable[[], Iterator[Vectors]]
Sums = Callable[[Float[np.ndarray, "k n"]], Float[torch.Tensor, "k D"] | None]
OnBlock = Callable[[Int[np.ndarray, "rows"], Int[np.ndarray, "m"], Float[torch.Tensor, "rows m"]], None]


@dataclass(frozen=True)
class Scoring:
    """How row means are computed; the path to save S to, and S by `landmarks`, if any; the seed of what is drawn."""

    way: Way = "auto"
    save_to: Path | None = None
    seed: int = 0
    landmarks: int = 0
    save_factor_to: Path | None = None


def find_way(name: str) -> Way:
    """Check a way of scoring; raises InputError naming the known ones."""
    for way in get_args(Way):
        if name == way:
            return way
    raise InputError(f"scoring {name}: unknown; known are {', '.join(get_args(Way))}")


@dataclass(frozen=True)
class Alignments:
    """Alignments by each of the k weights and vector norms, NaN for prompts without a vector, and the way they were computed.

    `error` is that of a saved S by landmarks.
    """

    alignment: Float[np.ndarray, "k n"]
    norm: Float[np.ndarray, "n"]
    way: Literal["matrix", "centroid"]
    error: Error | None = None


def align(
    stream: Stream, weights: Float[np.ndarray, "k n"], scoring: Scoring, stored_sums: Sums | None = None
) -> Alignments:
    """Alignment of every prompt, computed as `scoring` says; `auto` takes the matrix on a GPU if S fits.

    `stored_sums` gives Σ_j w_j û_j by each of the weights, if that is known without the vectors.
    """
    if scoring.save_factor_to is not None:
        error = _save_factor(stream, weights[0], scoring.save_factor_to, scoring.landmarks, scoring.seed)
        return replace(align(stream, weights, replace(scoring, save_factor_to=None), stored_sums), error=error)
    if scoring.save_to is not None:
        return _save(stream, weights, scoring.save_to)
    if scoring.way == "matrix" or (scoring.way == "auto" and _fits(stream, weights.shape[1])):
        return by_matrix(stream, weights)
    return by_centroid(stream, weights, stored_sums)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The rows that are in a cache are too few for several threads, which would wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def by_centroid(stream: Stream, weights: Float[np.ndarray, "k n"], stored_sums: Sums | None = None) -> Alignments:
    """Alignments in O(n·D), in float64, of which few rows are held at a time: two passes over the vectors, or one with stored sums."""
    result = _missing(weights, "centroid")
    sums = stored_sums(weights) if stored_sums else None
    if sums is None:
        parts = (weighted_sums(block.units, torch.from_numpy(weights[:, block.places])) for block in stream())
        sums = functools.reduce(torch.add, parts, torch.zeros(()))
    for block in stream():
        products = [part for rows, _ in in_float64(block.units) for part in _products(sums.numpy(), rows.numpy())]
        if products:
            result.alignment[:, block.places] = np.concatenate(products, axis=1) / weights.shape[1]
        result.norm[block.places] = block.norms
    return result


def _products(
    sums: Float[np.ndarray, "k D"], rows: Float[np.ndarray, "rows D"]
) -> Iterator[Float[np.ndarray, "k part"]]:
    """⟨sums, rows⟩, a few rows at a time. NumPy's product takes half the time of torch's on some processors."""
    size = max(1, ONE_THREAD // sums.size)
    return (sums @ rows[start : start + size].T for start in range(0, len(rows), size))


def by_matrix(stream: Stream, weights: Float[np.ndarray, "k n"], on_block: OnBlock | None = None) -> Alignments:
    """Alignments from blocks of rows of the cosine matrix (float32, on the GPU if there is one), summed in float64.

    `on_block` is called with each block: the places of its rows, the places of its columns, the cosines.
    """
    result = _missing(weights, "matrix")
    every = gathered(stream())
    places, units = every.places, every.units.to(device())
    result.norm[places] = every.norms
    weight = torch.from_numpy(weights[:, places]).to(units.device)
    size = max(1, BLOCK_ENTRIES // max(1, len(places)))
    for start in range(0, len(places), size):
        cosines = units[start : start + size] @ units.T
        rows = places[start : start + size]
        result.alignment[:, rows] = (weight @ cosines.double().T).cpu().numpy() / weights.shape[1]
        if on_block is not None:
            on_block(rows, places, cosines)
    return result


def _save(stream: Stream, weights: Float[np.ndarray, "k n"], path: Path) -> Alignments:
    with atomic_path(path) as temporary:
        matrix = _create(temporary, "S", (weights.shape[1], weights.shape[1]), {})

        def save(rows: np.ndarray, columns: np.ndarray, cosines: torch.Tensor) -> None:
            scores = weights[0, rows, None] * cosines.cpu().numpy() * weights[0, columns]
            for place, row in zip(rows, scores, strict=True):
                matrix[place, columns] = row

        result = by_matrix(stream, weights, save)
        matrix.flush()
    return result


def _save_factor(stream: Stream, weights: Float[np.ndarray, "n"], path: Path, count: int, seed: int) -> Error | None:
    """Write F [n, r] with S ≈ F Fᵀ by `count` landmarks, block by block, and measure its error; None if S is zero."""

    def rows() -> Iterator[tuple[Int[np.ndarray, "rows"], Float[np.ndarray, "rows D"]]]:
        return ((block.places, block.units.numpy()) for block in stream())

    landmarks = find_landmarks(rows, weights, count, seed)
    if not len(landmarks.places):
        return None
    error = measure_error(rows, weights, landmarks, seed)
    about = {"landmarks": json.dumps(landmarks.places.tolist()), "error": json.dumps(asdict(error))}
    with atomic_path(path) as temporary:
        factor = _create(temporary, "factor", (len(weights), len(landmarks.basis)), about)
        for places, units in rows():
            factor[places] = weights[places, None] * landmarks.factor(units)
        factor.flush()
    return error


def _missing(weights: Float[np.ndarray, "k n"], way: Literal["matrix", "centroid"]) -> Alignments:
    return Alignments(np.full(weights.shape, np.nan), np.full(weights.shape[1], np.nan), way)


def _fits(stream: Stream, count: int) -> bool:
    """Whether there is a GPU whose free memory holds all vectors and a float32 matrix of n × n."""
    if device().type != "cuda":
        return False
    width = next((block.units.shape[1] for block in stream()), 0)
    return 4 * count * (count + width) < free_memory(device())


def _create(path: Path, name: str, shape: tuple[int, int], metadata: Mapping[str, str]) -> np.memmap:
    """Creates a safetensors file of float32 zeros, mapped for writing: the library writes from memory only."""
    size = 4 * shape[0] * shape[1]
    tensor = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}
    header = json.dumps({"__metadata__": metadata, **tensor} if metadata else tensor)
    header += " " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode())
        file.truncate(8 + len(header) + size)
    return np.memmap(path, dtype=np.float32, mode="r+", offset=8 + len(header), shape=shape)
