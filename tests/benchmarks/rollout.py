"""Tokens per CPU second of our engines against the bare ones: `make bench-rollout`.

    transformers   our engine    plain `generate` on batches sorted by length (the better of two row counts)
    vllm           our wrapper   vLLM's own `LLM.generate` with the same arguments and token ids, no seeds

Both sides sample the same prompts under the same settings, in turns, in warm processes. CPU time is that of every
process involved (on a shared machine only this is meaningful); wall time is reported too. The result is printed and
written to results/rollout.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from learnalign.config import Config, build_config
from learnalign.policy import load_model, load_tokenizer, model_path, prompt_ids
from learnalign.prompts import read_pool
from learnalign.randomness import seed_of
from learnalign.rollouts import Engine, Request, Sampling, open_engine
from learnalign.rollouts.engines.contract import stop_ids
from learnalign.rollouts.engines.vllm_settings import engine_arguments, environment
from learnalign.rundir.files import write_json
from learnalign.rundir.machine import describe_machine, versions

RESULTS = Path(__file__).parent / "results" / "rollout.json"
Side = Callable[[], tuple[int, float]]  # samples everything; tokens and CPU seconds


@dataclass(frozen=True, kw_only=True)
class Job:
    """The requests that both sides sample."""

    config: Config
    requests: Sequence[Request]
    room: int

    @property
    def longest(self) -> int:
        return max(len(request.prompt_ids) for request in self.requests) + self.room


def make_job(options: argparse.Namespace) -> Job:
    """Prompts of a pool, templated for the model."""
    data = {"path": options.data, "prompt": options.prompt, "limit": options.prompts}
    config = build_config({"model": {"name": options.model}, "data": data})
    tokenizer = load_tokenizer(config)
    requests = [
        Request(p.id, prompt_ids(tokenizer, p.messages), [seed_of(0, p.id, i) for i in range(options.num_generations)])
        for p in read_pool(config.data)[0]
    ]
    return Job(config=config, requests=requests, room=options.max_completion_length)


def with_engine(config: Config, name: str) -> Config:
    return config.model_copy(update={"rollout": config.rollout.model_copy(update={"engine": name})})


@contextmanager
def ours(job: Job, name: str) -> Iterator[Side]:
    """Our engine of that name."""
    config = with_engine(job.config, name)
    with open_engine(config, model_path(config), job.longest) as engine:
        yield lambda: _our_turn(engine, job)


def _our_turn(engine: Engine, job: Job) -> tuple[int, float]:
    before = _cpu_seconds()
    groups = engine.generate(job.requests, Sampling(job.room))
    spent = _cpu_seconds() - before
    return sum(len(completion.completion_ids) for group in groups.values() for completion in group), spent


def _cpu_seconds() -> float:
    """CPU time of this process and of vLLM processes that our engine has started."""
    mine = psutil.Process()
    engines = [each for each in mine.children(recursive=True) if "vllm_child" in " ".join(each.cmdline())]
    return sum(sum(process.cpu_times()[:2]) for process in [mine, *engines])


@contextmanager
def plain_generate(job: Job, rows: int) -> Iterator[Side]:
    """transformers' generate on batches of `rows` samples, sorted by length, padded on the left."""
    import torch

    model = load_model(job.config)
    stop = stop_ids(job.config, model_path(job.config))
    requests = sorted(job.requests, key=lambda request: -len(request.prompt_ids))
    size = len(job.requests[0].seeds)

    def turn() -> tuple[int, float]:
        before, tokens = time.process_time(), 0
        step = max(1, rows // size)
        for start in range(0, len(requests), step):
            batch = [list(request.prompt_ids) for request in requests[start : start + step]]
            width = max(map(len, batch))
            ids = torch.tensor([[0] * (width - len(row)) + row for row in batch], device=model.device)
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch], device=model.device)
            options: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
            options |= {"num_return_sequences": size, "max_new_tokens": job.room, "eos_token_id": sorted(stop)}
            with torch.inference_mode():
                out = model.generate(input_ids=ids, attention_mask=mask, pad_token_id=0, **options)  # type: ignore[operator]
            tokens += sum(_until(row, stop) for row in out[:, width:].tolist())
        return tokens, time.process_time() - before

    yield turn


def _until(row: list[int], stop: frozenset[int]) -> int:
    """Tokens of a completion, its EOS included."""
    return next((i + 1 for i, token in enumerate(row) if token in stop), len(row))


@contextmanager
def bare_vllm(job: Job, longest: int | None = None) -> Iterator[Side]:
    """vLLM's own LLM.generate in a process that does nothing else; all requests at once, without seeds."""
    arguments = engine_arguments(with_engine(job.config, "vllm"), model_path(job.config), longest or job.longest)
    message = {
        "arguments": arguments,
        "stop": sorted(stop_ids(job.config, model_path(job.config))),
        "sampling": {"max_tokens": job.room, "temperature": job.config.rollout.temperature, "detokenize": False},
        "requests": [[list(request.prompt_ids), len(request.seeds)] for request in job.requests],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.rollout", "--bare-vllm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(arguments, 0, 1) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def turn() -> tuple[int, float]:
        print("go", file=process.stdin, flush=True)
        answer = next(line for line in iter(process.stdout.readline, "") if line.startswith("{"))  # type: ignore[union-attr]
        result = json.loads(answer)
        return result["tokens"], result["seconds"]

    print(json.dumps(message), file=process.stdin, flush=True)
    try:
        yield turn
    finally:
        process.kill()
        process.wait()


def serve_bare_vllm() -> None:
    """The other side of `bare_vllm`."""
    message = json.loads(sys.stdin.readline())
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    llm = LLM(**message["arguments"])
    prompts, parameters = [], []
    for ids, count in message["requests"]:
        prompts.append(TokensPrompt(prompt_token_ids=ids))
        parameters.append(SamplingParams(n=count, stop_token_ids=message["stop"], **message["sampling"]))
    for _ in sys.stdin:
        started = time.process_time()
        outputs = llm.generate(prompts, parameters, use_tqdm=False)
        spent = time.process_time() - started
        print(
            json.dumps({"tokens": sum(len(one.token_ids) for o in outputs for one in o.outputs), "seconds": spent}),
            flush=True,
        )


def alternate(sides: dict[str, Side], turns: int) -> dict[str, dict[str, float]]:
    """Tokens per CPU second of each side: the median over `turns` turns, after one to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    walls: dict[str, list[float]] = {name: [] for name in sides}
    tokens: dict[str, int] = {}
    for turn in range(turns + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            tokens[name], seconds = side()
            if turn:
                rates[name].append(tokens[name] / seconds)
                walls[name].append(tokens[name] / (time.perf_counter() - started))
    return {
        name: {
            "tokens": tokens[name],
            "tokens_per_cpu_second": round(statistics.median(rates[name]), 1),
            "slowest": round(min(rates[name]), 1),
            "fastest": round(max(rates[name]), 1),
            "tokens_per_second": round(statistics.median(walls[name]), 1),
        }
        for name in sides
    }


def compare_transformers(job: Job, turns: int) -> dict[str, Any]:
    """Our engine against generate."""
    with ours(job, "transformers") as mine, plain_generate(job, 64) as small, plain_generate(job, 256) as large:
        sides = {"ours": mine, "generate, 64 rows": small, "generate, 256 rows": large}
        return _with_ratio(alternate(sides, turns))


def compare_vllm(job: Job, turns: int) -> dict[str, Any]:
    """Our wrapper against LLM.generate."""
    with ours(job, "vllm") as mine, bare_vllm(job) as bare:
        return _with_ratio(alternate({"ours": mine, "LLM.generate": bare}, turns))


def _with_ratio(sides: dict[str, dict[str, float]]) -> dict[str, Any]:
    best = max(side["tokens_per_cpu_second"] for name, side in sides.items() if name != "ours")
    return {"ratio": round(sides["ours"]["tokens_per_cpu_second"] / best, 3), "sides": sides}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bare-vllm", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--model", default="demo", help="model directory or hub name (default: the embedded one)")
    parser.add_argument("--data", default="demo", help="pool of prompts")
    parser.add_argument("--prompt", default="question", help="its column with the question")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--num-generations", type=int, default=8)
    parser.add_argument("--max-completion-length", type=int, default=64)
    parser.add_argument("--engines", nargs="+", default=["transformers", "vllm"])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="threads of each side")
    parser.add_argument("-o", type=Path, default=RESULTS, dest="output")
    options = parser.parse_args()
    if options.bare_vllm:
        return serve_bare_vllm()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    job = make_job(options)
    sizes: dict[str, Any] = {
        "model": Path(options.model).name,
        "prompts": len(job.requests),
        "num_generations": options.num_generations,
    }
    sizes |= {"max_completion_length": job.room, "turns": options.turns, "threads": options.threads}
    sizes["mean_prompt_tokens"] = round(statistics.mean(len(request.prompt_ids) for request in job.requests), 1)
    result: dict[str, Any] = {"sizes": sizes}
    if "transformers" in options.engines:
        result["transformers"] = compare_transformers(job, options.turns)
    if "vllm" in options.engines and importlib.util.find_spec("vllm") is not None:
        result["vllm"] = compare_vllm(job, options.turns)
    result |= {"machine": describe_machine(), "versions": versions()}
    print(json.dumps(result, indent=2))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, result)
    return None


if __name__ == "__main__":
    main()
