"""What storing features in float16 changes in the scores (Eq. 8): Spearman's correlation with those of float32, and the top tenth.

    python -m tests.benchmarks.feature_dtype [DIR …] [--json FILE]

DIR is a run directory whose gradients were stored with `grad.feature_dtype: float32`. Besides, 17,917 random rows × 8192 with a common
direction and random success rates.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learnalign.rundir import RunDir
from learnalign.selection.overlap import spearman
from learnalign.selection.pool import Pool, Vectors
from learnalign.selection.scores import by_centroid
from tests.benchmarks.grad_data import about

ROWS, DIM, BLOCK = 17_917, 8192, 256


def compare(stream: Callable[[], Iterator[Vectors]], learnability: np.ndarray) -> dict[str, Any]:
    """The scores of float32 features against those of the same features in float16."""

    def rounded() -> Iterator[Vectors]:
        return (replace(block, units=block.units.half().float()) for block in stream())

    full, half = (learnability * by_centroid(each, learnability[None]).alignment[0] for each in (stream, rounded))
    there = np.flatnonzero(~np.isnan(full))
    full, half, tenth = full[there], half[there], max(1, len(there) // 10)
    best = [set(np.argsort(-score, kind="stable")[:tenth].tolist()) for score in (full, half)]
    difference = float(np.abs(full - half).max() / np.abs(full).max())
    return {
        "prompts": len(there),
        "spearman": spearman(full, half),
        "same_of_top_tenth": len(best[0] & best[1]) / tenth,
        "largest_difference_of_largest_score": difference,
    }


def of_run(path: Path) -> dict[str, Any]:
    pool = Pool(RunDir.open(path))
    return {"data": Path(pool.run.config.data.path).name, "dim": pool.run.config.grad.dim} | compare(
        pool.gradients, pool.success.learnability
    )


def of_random_rows() -> dict[str, Any]:
    rate = np.random.default_rng(0).integers(1, 8, ROWS) / 8

    def stream() -> Iterator[Vectors]:
        generator = torch.Generator().manual_seed(0)
        for start in range(0, ROWS, BLOCK):
            places = np.arange(start, min(start + BLOCK, ROWS))
            rows = torch.randn(len(places), DIM, generator=generator) + 0.2
            norms = rows.norm(dim=1)
            yield Vectors(places, rows / norms[:, None], norms.numpy())

    return {"data": "random", "dim": DIM} | compare(stream, rate * (1 - rate))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = [*map(of_run, arguments.runs), of_random_rows()]
    for one in found:
        print(one)
    if arguments.json:
        arguments.json.write_text(json.dumps({**about(), "measured": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
