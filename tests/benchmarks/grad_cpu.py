"""Speed, memory and quality of the gradient engine on a CPU: `make bench-grad`.

    python -m tests.benchmarks.grad_cpu --model DIR --data DIR [--samples 16] [--repeats 3] [--quality 64] [--out FILE]

DIR: SmolLM2-135M-Instruct as a Hugging Face directory and GSM8K's train.jsonl (or LEARNALIGN_SMOLLM2 and LEARNALIGN_GSM8K).
Ways are run in turn, again and again, on one thread, and compared by CPU time within the same round: the time of all samples less
that of the first quarter of them, since some ways make their projections anew in every run, others once. bergson takes part
where it can be imported (`pip install --target X --no-deps bergson==2.5.1 …`, PYTHONPATH=X).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from learnalign.gradients import Sample, UsedRollout
from tests.benchmarks.grad_data import PeakMemory, about, count_positions, gsm8k_samples, load_model
from tests.benchmarks.grad_quality import quality_curve
from tests.benchmarks.grad_ways import DIM, WAYS, less_projection_seconds, make_engine

GOALS = {"less": 10.0, "sparse": 1.7, "bergson": 2.5}  # times as fast at least
ALL_GOAL = 1.15  # times the time of the blocks' linear layers alone, at most
FLOOR_GOAL = 1.12  # times the floor's time at most
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GAMMA_ENTRIES = 1 << 29


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    samples = gsm8k_samples(options.model, options.data, max(options.samples, options.quality))
    timed = samples[: options.samples]
    sizes = {"samples": len(timed), "positions": count_positions(timed), "batch_tokens": options.batch_tokens}
    result = {**about(**sizes, dim=DIM, repeats=options.repeats), "speed": {}}
    for name in options.dtypes.split(","):
        result["speed"][name] = measure(options, timed, DTYPES[name])
        print_speed(name, result["speed"][name])
    if options.rollouts:
        result["shared_prompts"] = shared_prompts(load_model(options.model, torch.float32), options.rollouts)
        print_shared(result["shared_prompts"])
    if options.quality:
        model = load_model(options.model, torch.float32)
        result["quality"] = quality_curve(model, samples[: options.quality], options.batch_tokens)
        print_quality(result["quality"])
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    Path(options.out).write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {options.out}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.environ.get("LEARNALIGN_SMOLLM2"))
    parser.add_argument("--data", default=os.environ.get("LEARNALIGN_GSM8K"))
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, default=512)
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument(
        "--ways", default=",".join(WAYS), help="ways to take part, besides engine, engine_linear and floor"
    )
    parser.add_argument("--quality", type=int, default=64, help="samples of the quality curve; 0 for none")
    parser.add_argument(
        "--rollouts", type=int, default=8, help="completions of a prompt that share its work; 0 for none"
    )
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "grad-cpu.json"))
    options = parser.parse_args()
    if not options.model or not options.data:
        print("skipped: say --model and --data, or set LEARNALIGN_SMOLLM2 and LEARNALIGN_GSM8K", file=sys.stderr)
        raise SystemExit(0)
    return options


def measure(options: argparse.Namespace, samples: list[Any], dtype: torch.dtype) -> dict[str, Any]:
    """CPU seconds and peak memory of every way, and their ratios within each round."""
    model = load_model(options.model, dtype)
    wanted = {"engine", "engine_linear", "floor", *options.ways.split(",")}
    names = [n for n in WAYS if n in wanted and ("bergson" not in n or importlib.util.find_spec("bergson"))]
    ways = {name: WAYS[name](model, samples, options.batch_tokens) for name in names}
    few = samples[: len(samples) // 4]
    seconds: dict[str, list[float]] = {name: [] for name in names}  # of the samples beyond the few
    begun: dict[str, list[float]] = {name: [] for name in names}  # what a run takes before its first sample
    memory: dict[str, float] = {}
    for way in ways.values():
        way.samples = samples[:1]
        way.run()  # a first pass makes Γ and warms the libraries up
    shares = count_positions(few) / (count_positions(samples) - count_positions(few))
    for number in range(options.repeats):
        for name, way in ways.items():
            with PeakMemory() as peak:
                small, whole = _cpu_seconds(way, few), _cpu_seconds(way, samples)
            seconds[name].append(whole - small)
            begun[name].append(small - shares * (whole - small))
            memory[name] = max(memory.get(name, 0.0), peak.gigabytes)
        print(f"{dtype} round {number + 1}: " + ", ".join(f"{n} {s[-1]:.1f} s" for n, s in seconds.items()), flush=True)
    less = less_projection_seconds(model, dtype, GAMMA_ENTRIES) if "less" in names else {}
    gradients = seconds.get("less", [])
    for part, per_sample in less.items():
        name = "less" if part == "whole" else f"less_{part}"
        seconds[name] = [one + per_sample * (len(samples) - len(few)) for one in gradients]
        memory[name] = memory["less"]
    return summarise(seconds, memory, count_positions(samples) - count_positions(few)) | {
        "cpu_seconds_before_the_first_sample": {name: round(statistics.median(s), 2) for name, s in begun.items()},
        "less_projection_extrapolated_s_per_sample": {part: round(value, 2) for part, value in less.items()},
    }


def _cpu_seconds(way: Any, samples: list[Any]) -> float:
    way.samples = samples
    started = time.process_time()
    way.run()
    return time.process_time() - started


def summarise(seconds: dict[str, list[float]], memory: dict[str, float], positions: int) -> dict[str, Any]:
    """Medians; ratios are taken within a round, so that what else the machine does cancels."""
    ratios = {name: statistics.median(map(_divide, seconds[name], seconds["engine"])) for name in seconds}
    return {
        "tokens_per_cpu_second": {name: round(positions / statistics.median(s), 1) for name, s in seconds.items()},
        "cpu_seconds": {name: [round(one, 2) for one in s] for name, s in seconds.items()},
        "times_as_fast": {name: round(ratios[name], 2) for name in seconds if name not in ("engine", "floor")},
        "times_the_floor": round(1 / ratios["floor"], 3),
        "peak_memory_gb": memory,
    }


def _divide(first: float, second: float) -> float:
    return first / second


def shared_prompts(model: nn.Module, rollouts: int) -> list[dict[str, Any]]:
    """CPU seconds of one prompt's completions of 130 tokens, sharing the prompt's work and not."""
    rows = []
    engine = make_engine(model, "auto")
    engine.features([Sample("warm-up", [1, 2], [UsedRollout([3], 1.0)])])
    for length in (100, 300, 800):
        prompt, answers = torch.arange(1000, 1000 + length), torch.arange(5000, 5000 + 130 * rollouts)
        sample = Sample("x", prompt.tolist(), [UsedRollout(part.tolist(), 1.0) for part in answers.split(130)])
        seconds: dict[str, float] = {}
        together = engine.sharing.together(sample, engine.budget.row_tokens)
        for name, possible in (("shared", True), ("alone", False)):
            engine.sharing.possible = possible
            started = time.process_time()
            engine.features([sample])
            seconds[name] = round(time.process_time() - started, 2)
        engine.sharing.possible = True
        rows.append({"prompt_tokens": length, "rollouts": rollouts, "to_a_row": together, "cpu_seconds": seconds})
    return rows


def print_shared(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        seconds = row["cpu_seconds"]
        print(
            f"{row['rollouts']} completions of 130 tokens after a prompt of {row['prompt_tokens']}: {row['to_a_row']} to a row, "
            f"{seconds['shared']} s against {seconds['alone']} s one by one (× {seconds['alone'] / seconds['shared']:.2f})"
        )


def print_speed(name: str, speed: dict[str, Any]) -> None:
    print(f"\n{name}: way, tokens per CPU second, peak GB, engine is … times as fast (goal)")
    for way, rate in speed["tokens_per_cpu_second"].items():
        ratio = speed["times_as_fast"].get(way)
        note = f"{ratio:6.2f} (≥ {GOALS[way]})" if way in GOALS else ""
        print(f"  {way:13} {rate:8.1f} {speed['peak_memory_gb'][way]:7.2f} {note}")
    ratio = 1 / speed["times_as_fast"]["engine_linear"]
    print(f"  all parameters take {ratio:.3f} times the time of the linear layers alone (goal ≤ {ALL_GOAL})")
    print(f"  engine takes {speed['times_the_floor']:.3f} times the floor's time (goal ≤ {FLOOR_GOAL})\n", flush=True)


def print_quality(quality: list[dict[str, Any]]) -> None:
    print("quality: parameters and projection, Spearman of alignment against exact of all (mean and lowest over seeds)")
    for row in quality:
        print(f"  {row['way']:34} {row['spearman_mean']:.4f} {row['spearman_min']:.4f}")


if __name__ == "__main__":
    main()
