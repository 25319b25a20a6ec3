"""Seconds of the scores (Eq. 8) by matrix and by centroid, from files as `grad` writes them.

`python -m tests.benchmarks.select [--rows N] [--dim D] [--ways centroid,matrix] [--json FILE]`

Features are random unit rows with a common direction, in shards of 2,048, read and verified from disk by both ways as
`select` does. By default 17,917 × 8192, the paper's DAPO-Math-17k, whose 12.7 s on an H100 is the figure to beat.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from learnalign.policy import device
from learnalign.rundir.files import read_safetensors, write_safetensors
from learnalign.selection.pool import Vectors
from learnalign.selection.scores import Alignments, by_centroid, by_matrix

SHARD = 2048
WAYS = {"centroid": by_centroid, "matrix": by_matrix}


def write_features(folder: Path, rows: int, dim: int) -> None:
    """Shards of random unit rows."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, rows, SHARD):
        features = torch.randn(min(SHARD, rows - start), dim, generator=generator) + 0.2
        norms = features.norm(dim=1)
        tensors = {"features": features / norms[:, None], "norms": norms}
        write_safetensors(folder / f"part-{start // SHARD:05d}.safetensors", tensors, {}, "benchmark")


def read_features(folder: Path) -> Iterator[Vectors]:
    """The shards, verified, as `select` reads them."""
    for i, path in enumerate(sorted(folder.iterdir())):
        tensors, _ = read_safetensors(path)
        places = np.arange(i * SHARD, i * SHARD + len(tensors["norms"]))
        yield Vectors(places, tensors["features"], tensors["norms"].double().numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=17_917)
    parser.add_argument("--dim", type=int, default=8192)
    parser.add_argument("--ways", default="centroid,matrix")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if device().type == "cpu":
        torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if device().type == "cuda" else "CPU, one thread"
    learnability = np.random.default_rng(0).integers(1, 8, arguments.rows) / 8
    learnability *= 1 - learnability
    seconds: dict[str, float] = {}
    found: dict[str, Alignments] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_features(folder, arguments.rows, arguments.dim)
        for way in arguments.ways.split(","):
            started = time.perf_counter()
            found[way] = WAYS[way](lambda: read_features(folder), learnability)
            seconds[way] = time.perf_counter() - started
            print(f"{name}, {arguments.rows} × {arguments.dim}, {way}: {seconds[way]:.1f} s", flush=True)
    scores = [learnability * one.alignment for one in found.values()]
    difference = max(float(np.abs(score / scores[0] - 1).max()) for score in scores)
    print(f"largest relative difference of scores: {difference:.1e}")
    if arguments.json:
        result = {"device": name, "rows": arguments.rows, "dim": arguments.dim, "seconds": seconds}
        arguments.json.write_text(json.dumps({**result, "relative_difference": difference}, indent=2) + "\n")


if __name__ == "__main__":
    main()
