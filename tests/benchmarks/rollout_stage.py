"""The stage `rollout` with vLLM over several shards against bare vLLM: `make bench-rollout`.

    python -m tests.benchmarks.rollout_stage [--shards 8] [--turns 3] [-o FILE]

The stage tokenises, samples, decodes, judges and stores shard after shard, as many at a time as keep the engine full; bare vLLM gets the
token ids of all prompts at once, without seeds, and its completions are dropped. Both are warm, with one thread each, and take turns. The
embedded model's logits are divided by 5, which makes its completions long-tailed, so that every shard ends with a few long ones. Seconds
of the engine's process and of the others are counted apart: on a GPU machine they run side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from safetensors.torch import load_file, save_file

from learnalign import demo
from learnalign.config import build_config
from learnalign.policy import prompt_ids, run_tokenizer
from learnalign.progress import Progress
from learnalign.prompts import load_prompts
from learnalign.rollouts import Request
from learnalign.rollouts.groups import load_rollouts
from learnalign.rollouts.stage import RolloutWorker
from learnalign.rundir import RunDir
from tests.benchmarks.grad_data import about
from tests.benchmarks.rollout import Job, bare_vllm

RESULTS = Path(__file__).parent / "results" / "rollout_stage.json"
GOAL = 0.95  # of the bare engine's tokens a second, at least
Turn = Callable[
    [], dict[str, float]
]  # samples everything: tokens, CPU seconds of the engine and of the others, seconds


def make_model(folder: Path, flatter: float) -> Path:
    """The embedded model with its logits divided by `flatter`: vLLM's temperature goes up to 2 only."""
    shutil.copytree(demo.MODEL, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] /= flatter
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def make_run(folder: Path, options: argparse.Namespace) -> RunDir:
    """A run of so many shards of the embedded pool, without warmup."""
    config = {
        "model": {"name": str(make_model(folder / "model", options.flatter))},
        "data": {
            "path": "demo-arithmetic",
            "prompt": "question",
            "limit": options.shards * options.shard_size,
            "max_prompt_tokens": 64,
        },
        "warmup": {"size": 0},
        "rollout": {
            "engine": "vllm",
            "max_completion_length": options.max_completion_length,
            "vllm": {"max_num_seqs": options.max_num_seqs},
        },
        "executor": {"shard_size": options.shard_size},
    }
    return RunDir.create(folder / "run", build_config(config))


def cpu_seconds() -> dict[str, float]:
    """CPU time so far of vLLM's process in our stage, and of this process and its verifier's workers."""
    mine = psutil.Process()
    children = [each for each in mine.children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]
    every = [(each, " ".join(each.cmdline())) for each in children]
    engine = [each for each, command in every if "vllm_child" in command]
    others = [mine, *(each for each, command in every if "vllm_child" not in command and "--bare-vllm" not in command)]
    return {
        name: sum(sum(one.cpu_times()[:2]) for one in them) for name, them in (("engine", engine), ("others", others))
    }


@contextmanager
def stage(run: RunDir) -> Iterator[Turn]:
    """The stage's own worker, warm, on all shards."""
    worker = RolloutWorker(run, load_prompts(run), "vllm")

    def turn() -> dict[str, float]:
        for shard in run.shards():
            run.rollouts_file(shard).unlink(missing_ok=True)
        before, started = cpu_seconds(), time.perf_counter()
        with Progress(run.count_prompts(), "prompts", "rollouts") as progress:
            worker(iter(run.shards()), progress)
        after = cpu_seconds()
        spent = {name: after[name] - before[name] for name in before} | {"seconds": time.perf_counter() - started}
        return {"tokens": sum(lengths(run)), **spent}

    try:
        yield turn
    finally:
        worker.close()


def lengths(run: RunDir) -> list[int]:
    """Tokens of every stored completion."""
    return [len(one.completion_ids) for shard in run.shards() for one in load_rollouts(run, shard)]


@contextmanager
def bare(run: RunDir) -> Iterator[Turn]:
    """vLLM alone, with all prompts at once."""
    tokenizer, config = run_tokenizer(run), run.config
    seeds = range(config.rollout.num_generations)
    requests = [Request(one.id, prompt_ids(tokenizer, one.messages), list(seeds)) for one in load_prompts(run)]
    job = Job(config=config, requests=requests, room=config.rollout.max_completion_length)
    with bare_vllm(job, config.data.max_prompt_tokens + job.room) as generate:

        def turn() -> dict[str, float]:
            started = time.perf_counter()
            tokens, seconds = generate()
            return {"tokens": tokens, "engine": seconds, "others": 0.0, "seconds": time.perf_counter() - started}

        yield turn


def measure(run: RunDir, turns: int) -> dict[str, Any]:
    """Medians over the turns, after one to warm up; ratios within a turn, the stage's tokens a second over bare vLLM's."""
    taken: dict[str, list[dict[str, float]]] = {"stage": [], "bare": []}
    with stage(run) as ours, bare(run) as theirs:
        for number in range(turns + 1):
            for name, side in (("stage", ours), ("bare", theirs)):
                one = side()
                if number:
                    taken[name].append(one)
                print(number, name, {key: round(value, 2) for key, value in one.items()}, flush=True)
        quantiles = {str(q): float(np.percentile(lengths(run), q)) for q in (5, 50, 90, 99, 100)}

    def ratio(spent: Callable[[dict[str, float]], float]) -> float:
        pairs = zip(taken["stage"], taken["bare"], strict=True)
        return round(statistics.median(a["tokens"] / spent(a) / (b["tokens"] / spent(b)) for a, b in pairs), 3)

    def median(side: str, rate: Callable[[dict[str, float]], float]) -> float:
        return round(statistics.median(rate(one) for one in taken[side]), 1)

    return {
        "ratio by the clock": ratio(lambda one: one["seconds"]),
        "ratio by CPU time of the engine's process": ratio(lambda one: one["engine"]),
        "ratio by CPU time of all processes": ratio(lambda one: one["engine"] + one["others"]),
        "completion lengths, percentiles": quantiles,
        "sides": {
            side: {
                "tokens": median(side, lambda one: one["tokens"]),
                "tokens per second": median(side, lambda one: one["tokens"] / one["seconds"]),
                "tokens per CPU second of the engine": median(side, lambda one: one["tokens"] / one["engine"]),
                "CPU seconds of the engine": median(side, lambda one: one["engine"]),
                "CPU seconds of the others": median(side, lambda one: one["others"]),
            }
            for side in taken
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--shard-size", type=int, default=16)
    parser.add_argument(
        "--max-num-seqs", type=int, default=64, help="completions that vLLM works on at once: half a shard"
    )
    parser.add_argument("--max-completion-length", type=int, default=384)
    parser.add_argument("--flatter", type=float, default=5.0, help="what the model's logits are divided by")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("-o", type=Path, default=RESULTS, dest="output")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    sizes = {key: value for key, value in vars(options).items() if key != "output"}
    with tempfile.TemporaryDirectory() as folder:
        result = {**about(**sizes), **measure(make_run(Path(folder), options), options.turns)}
    print(json.dumps(result, indent=2))
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
