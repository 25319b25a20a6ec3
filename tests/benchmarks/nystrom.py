"""S by landmarks (Nyström): its error and the neighbours it finds by the number of landmarks, and what it takes beside S itself.

    python -m tests.benchmarks.nystrom [DIR …] [--sizes N …] [--json FILE]

DIR is a run directory with gradients: error of S relative to S (Frobenius, i ≠ j), root mean square error of a cosine, with landmarks
drawn by V² and evenly; and the share of each prompt's five nearest (landmarks left out) among the twenty that are nearest by
landmarks. Mean of four seeds.
N: random rows × 2048 with a common direction; CPU seconds of one thread and megabytes on the disk of S and of its factor, both with
the exact scores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learnalign.rundir import RunDir
from learnalign.selection.nystrom import find_landmarks
from learnalign.selection.pool import Pool, Vectors
from learnalign.selection.scores import Scoring, align
from tests.benchmarks.grad_data import about

LANDMARKS = (32, 64, 128, 256, 512)
DIM, BLOCK, COUNT = 2048, 256, 512
NEAREST, SHORT = 5, 20


def of_run(path: Path) -> dict[str, Any]:
    pool = Pool(RunDir.open(path))
    blocks = list(pool.gradients())
    places = np.concatenate([block.places for block in blocks])
    units = torch.cat([block.units for block in blocks]).numpy()
    weights = pool.success.learnability[places]
    rows = [_error(units, weights, count) for count in LANDMARKS if count < len(units)]
    return {
        "data": Path(pool.run.config.data.path).name,
        "prompts": len(units),
        "dim": units.shape[1],
        "landmarks": rows,
    }


def _error(units: np.ndarray, weights: np.ndarray, count: int) -> dict[str, Any]:
    cosines = (units @ units.T).astype(np.float64)
    pairs, exact = ~np.eye(len(units), dtype=bool), np.outer(weights, weights) * cosines
    measured: dict[str, list[float]] = {"relative": [], "relative_drawn_evenly": [], "cosine": [], "recall": []}
    for seed in range(4):
        for name, drawn_by in (("relative_drawn_evenly", np.ones(len(units))), ("relative", weights)):
            landmarks = find_landmarks(lambda: [(np.arange(len(units)), units)], drawn_by, count, seed)
            factor = landmarks.factor(units)
            tried = (factor @ factor.T).astype(np.float64)
            wrong = np.outer(weights, weights) * (tried - cosines)
            measured[name].append(float(np.linalg.norm(wrong[pairs]) / np.linalg.norm(exact[pairs])))
        measured["cosine"].append(float(np.sqrt(np.mean((tried - cosines)[pairs] ** 2))))
        others = np.setdiff1d(np.arange(len(units)), landmarks.places)
        true, short = _nearest(cosines, NEAREST)[others], _nearest(tried, SHORT)[others]
        shares = [len({*a} & {*b}) / NEAREST for a, b in zip(true.tolist(), short.tolist(), strict=True)]
        measured["recall"].append(float(np.mean(shares)))
    return {"landmarks": count} | {name: round(float(np.mean(values)), 4) for name, values in measured.items()}


def _nearest(cosines: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-(cosines - 9 * np.eye(len(cosines))), axis=1)[:, :count]


def of_size(count: int, folder: Path) -> dict[str, Any]:
    rate = np.random.default_rng(0).integers(1, 8, count) / 8
    weights = (rate * (1 - rate))[None]
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(count, DIM, generator=generator) + 0.3)

    def stream() -> Iterator[Vectors]:
        for start in range(0, count, BLOCK):
            part = slice(start, min(start + BLOCK, count))
            yield Vectors(np.arange(count)[part], rows[part], np.ones(part.stop - start))

    result: dict[str, Any] = {"prompts": count, "dim": DIM, "landmarks": COUNT}
    scoring = Scoring(landmarks=COUNT)
    ways = {
        "S": replace(scoring, save_to=folder / "S.safetensors"),
        "factor": replace(scoring, save_factor_to=folder / "factor.safetensors"),
        "neither": scoring,
    }
    for name, way in ways.items():
        started = time.process_time()
        align(stream, weights, way)
        result[f"{name}_cpu_seconds"] = round(time.process_time() - started, 2)
        if (file := folder / f"{name}.safetensors").is_file():
            result[f"{name}_megabytes"] = round(file.stat().st_size / 1e6, 1)
            file.unlink()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="DIR")
    parser.add_argument("--sizes", type=int, nargs="*", default=[4096, 16384], metavar="N")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sizes = [of_size(size, Path(folder)) for size in arguments.sizes]
    result = {"about": about(), "runs": [of_run(run) for run in arguments.runs], "sizes": sizes}
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
