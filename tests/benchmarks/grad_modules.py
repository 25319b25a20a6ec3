"""What leaving parameters out costs, and what it saves, on a run's own prompts: all, linear layers, these and the head.

    python -m tests.benchmarks.grad_modules RUN [--prompts 150] [--repeats 5] [--out FILE]

RUN: a run directory with rollouts, such as the demo's. Features of each choice are timed in turn, round after round, on one thread, by
CPU time; ratios are taken within a round. Quality is Spearman's correlation of alignment with the exact one of all parameters: of
features (mean and lowest over seeds), and of exact gradients of the same parameters, which no projection touches. grad_cpu does the
same for SmolLM2.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from learnalign.gradients import GradientEngine, Sample
from learnalign.gradients.exact.alignment import accumulate, inner_products, zero_direction
from learnalign.gradients.inputs import make_engine, read_samples
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir
from tests.benchmarks.grad_data import about, count_positions

MODULES = ("all", "linear", "linear,head")
SEEDS = (0, 1, 2)

MakeEngine = Callable[..., GradientEngine]  # settings by name


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    make, samples, weights = read(options)
    result = about(prompts=len(samples), positions=count_positions(samples), repeats=options.repeats)
    seconds = measure(make, samples, options.repeats)
    truth = exact(make, samples, weights, "all")
    result["modules"] = [row(make, samples, weights, truth, modules, seconds) for modules in MODULES]
    for line in result["modules"]:
        print(json.dumps(line))
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--prompts", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out")
    return parser.parse_args()


def read(options: argparse.Namespace) -> tuple[MakeEngine, list[Sample], np.ndarray]:
    """Engines, prompts and learnabilities of a run."""
    run = RunDir.open(options.run)
    success = load_success(run)
    samples = [
        s for shard in run.shards() for s in read_samples(run.rollouts_file(shard), success, run.config.grad).samples
    ]
    samples = samples[: options.prompts]

    def make(seed: int = 0, **changes: Any) -> GradientEngine:
        grad = run.config.grad.model_copy(update=changes)
        engine = make_engine(RunDir(run.path, run.config.model_copy(update={"grad": grad})))
        engine.settings = dataclasses.replace(engine.settings, seed=seed)  # of the projection, not of the run
        return engine

    return make, samples, np.array([success[sample.id].learnability for sample in samples])


def measure(make: MakeEngine, samples: list[Sample], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of features, round after round."""
    engines = {modules: make(modules=modules) for modules in MODULES}
    for engine in engines.values():
        engine.features(samples[:1])  # makes Γ
    seconds: dict[str, list[float]] = {modules: [] for modules in MODULES}
    for number in range(repeats):
        for modules, engine in engines.items():
            started = time.process_time()
            engine.features(samples)
            seconds[modules].append(time.process_time() - started)
        print(f"round {number + 1}: { ({m: round(s[-1], 2) for m, s in seconds.items()}) }", flush=True)
    return seconds


def row(
    make: MakeEngine,
    samples: list[Sample],
    weights: np.ndarray,
    truth: np.ndarray,
    modules: str,
    seconds: dict[str, list[float]],
) -> dict[str, Any]:
    """Time against linear layers alone, and quality, of one choice."""
    values = []
    for seed in SEEDS:
        unit = torch.nn.functional.normalize(make(modules=modules, seed=seed).features(samples).double()).cpu().numpy()
        values.append(float(spearmanr(unit @ (weights @ unit), truth).statistic))
    ratios = [one / linear for one, linear in zip(seconds[modules], seconds["linear"], strict=True)]
    without = truth if modules == "all" else exact(make, samples, weights, modules)
    return {
        "modules": modules,
        "cpu_seconds": [round(one, 2) for one in seconds[modules]],
        "times_linear": round(statistics.median(ratios), 3),
        "spearman_mean": round(float(np.mean(values)), 4),
        "spearman_min": round(min(values), 4),
        "spearman_exact": round(float(spearmanr(without, truth).statistic), 4),
    }


def exact(make: MakeEngine, samples: list[Sample], weights: np.ndarray, modules: str) -> np.ndarray:
    """Mean over j of w_j cos(g_i, g_j) by the engine's exact passes."""
    engine = make(modules=modules, projection="exact")
    direction = zero_direction(engine)
    norms = accumulate(engine, samples, list(weights / len(samples)), direction)
    return (inner_products(engine, samples, direction) / norms).cpu().numpy()


if __name__ == "__main__":
    main()
