"""Speed and memory of the gradient engine on a CUDA GPU, with random weights in the shapes of Qwen2.5.

    python -m tests.benchmarks.grad_gpu [--models 0.5B,1.5B,3B,7B] [--samples 64] [--seconds 480] [--out FILE]
    python -m tests.benchmarks.grad_gpu --small      # the same on a CPU in a minute, so that it is known to work

First the features of random inputs are compared with float64 on a small model. Then, per model and 1,000-token samples (500 of
prompt, 500 of completion): tokens per second, share of the card's bf16 peak (4 FLOPs a block parameter and token, as many of the
head a completion token), peak memory, the loop of batch one with full backward, and bergson where it can be imported; the
parts that forward, backward, head, sketch and writing have in the time; and the two-rollout and exact ways on the smallest model.
A model is left out, and said to be, when the time given is used up.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, Qwen2Config

from learnalign.gradients import GradientEngine, GradientSettings, LogProbs, Sample, UsedRollout, with_reference
from learnalign.gradients.capture.batching import collate, pack, rows_of
from learnalign.gradients.exact.alignment import accumulate, zero_direction
from learnalign.policy.parts import head_of, last_hidden
from learnalign.rundir.files import write_safetensors
from tests.benchmarks.grad_data import about
from tests.benchmarks.grad_ways import Bergson, Floor, LessGradients, make_engine

SHAPES = {  # hidden, intermediate, layers, heads, key-value heads, tied head
    "0.5B": (896, 4864, 24, 14, 2, True),
    "1.5B": (1536, 8960, 28, 12, 2, True),
    "3B": (2048, 11008, 36, 16, 2, True),
    "7B": (3584, 18944, 28, 28, 4, False),
    "small": (128, 352, 3, 4, 2, True),
    "smaller": (96, 256, 2, 4, 2, True),
}
VOCABULARY = 151_936
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}  # dense bf16, FLOP/s


def main() -> None:
    options = parse()
    device = torch.device("cuda" if torch.cuda.is_available() and not options.small else "cpu")
    deadline = time.monotonic() + options.seconds
    result: dict[str, Any] = about(samples=options.samples, tokens=2 * options.half) | {
        "check": check(device),
        "models": {},
    }
    print("features against float64:", result["check"], flush=True)
    for name in options.models.split(","):
        if time.monotonic() > deadline:
            result["models"][name] = "left out: the time given was used up"
            continue
        result["models"][name] = measure(name, options, device, deadline)
        print_model(name, result["models"][name])
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    Path(options.out).write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {options.out}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="0.5B,1.5B,3B,7B")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--half", type=int, default=500, help="tokens of a prompt, and of a completion")
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--small", action="store_true", help="on a CPU, with small shapes")
    parser.add_argument("--out", default=None)
    options = parser.parse_args()
    if options.small:
        options.models, options.samples, options.half = "small", 4, 50
    name = "grad_gpu_small" if options.small else "grad_gpu"
    options.out = options.out or str(Path(__file__).parent / "results" / f"{name}.json")
    return options


def make_model(name: str, device: torch.device, dtype: torch.dtype, vocabulary: int) -> nn.Module:
    """A random model in the shape of Qwen2.5-`name`, made on the device."""
    hidden, intermediate, layers, heads, groups, tied = SHAPES[name]
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        tie_word_embeddings=tied,
        max_position_embeddings=4096,
    )
    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.eval().requires_grad_(False)


def random_samples(count: int, half: int, vocabulary: int) -> list[Sample]:
    rng = random.Random(0)

    def tokens(length: int) -> list[int]:
        return [rng.randrange(vocabulary) for _ in range(length)]

    return [Sample(str(i), tokens(half), [UsedRollout(tokens(half), 1.0)]) for i in range(count)]


def check(device: torch.device) -> dict[str, float]:
    """Lowest cosine of features on `device`, in float32 and bfloat16, with float64 on the CPU: fresh random inputs, small model."""
    samples = random_samples(8, 40, 1000)
    settings = GradientSettings(beta=0.0, dim=4096)
    exact = make_model("smaller", torch.device("cpu"), torch.float64, 1000)
    expected = GradientEngine(exact, settings).features(samples)
    cosines = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = make_model("smaller", torch.device("cpu"), dtype, 1000)
        model.load_state_dict(exact.state_dict())
        features = GradientEngine(model.to(device), settings).features(samples).double().cpu()
        cosines[str(dtype)] = round(float(torch.cosine_similarity(features, expected).min()), 6)
    return cosines


class Clock:
    """Seconds of a block on a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, work: Callable[[], Any]) -> float:
        if self.device.type == "cpu":
            started = time.process_time()
            work()
            return time.process_time() - started
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - started


def measure(name: str, options: argparse.Namespace, device: torch.device, deadline: float) -> dict[str, Any]:
    vocabulary = 1000 if options.small else VOCABULARY
    model = make_model(name, device, torch.bfloat16, vocabulary)
    samples = random_samples(options.samples, options.half, vocabulary)
    clock, engine = Clock(device), make_engine(model, "auto")
    engine.features(samples[:2])  # measures the memory a token takes, and makes Γ
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = min(clock(lambda: engine.features(samples)) for _ in range(2))
    tokens = options.samples * (2 * options.half - 1)
    result = {"tokens_per_second": round(tokens / seconds, 1), "batch_tokens": engine.budget.tokens}
    result |= utilisation(engine, tokens / seconds, device)
    if device.type == "cuda":
        result["peak_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    result["share_of_time"] = parts(engine, model, samples, seconds, clock)
    few = samples[: max(2, options.samples // 16)]
    rivals = {"batch_of_one_full_backward": LessGradients(model, few, engine.budget.tokens or 1)}
    if importlib.util.find_spec("bergson"):
        rivals["bergson_p16"] = Bergson(model, few, 8 * 2 * options.half)
    result["rivals_tokens_per_second"] = {}
    for rival, way in rivals.items():
        if time.monotonic() < deadline:
            way.run()
            whole, way.samples = clock(way.run), few[: len(few) // 2]  # bergson makes its projections in every run
            seconds = whole - clock(way.run)
            speed = (len(few) - len(few) // 2) * (2 * options.half - 1) / seconds
            result["rivals_tokens_per_second"][rival] = round(speed, 1)
    if name == options.models.split(",")[0]:
        result["other_ways_tokens_per_second"] = other_ways(model, samples, clock)
    return result


def utilisation(engine: GradientEngine, speed: float, device: torch.device) -> dict[str, Any]:
    """Model FLOPs per second, and their share of the card's peak where that is known."""
    blocks = sum(site.weight.numel() for site in engine.sites.linear)
    flops = speed * (4 * blocks + 4 * engine.head.weight.numel() / 2)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    peak = next((value for key, value in PEAK.items() if key in card), None)
    return {"tflops": round(flops / 1e12, 2), "share_of_peak": round(flops / peak, 3) if peak else None}


def parts(
    engine: GradientEngine, model: nn.Module, samples: list[Sample], seconds: float, clock: Clock
) -> dict[str, float]:
    """Shares of the engine's time: what is not measured alone is a difference (backward; sketch)."""
    batches = [
        collate(batch, engine.device, engine.dtype)
        for batch in pack(rows_of(samples), lambda: engine.budget.tokens or 1)
    ]

    def forward() -> None:
        with torch.no_grad():
            for batch in batches:
                last_hidden(model, batch.token_ids)

    def head() -> None:
        from learnalign.gradients.logprobs import hidden_gradient

        for batch in batches:
            hidden = torch.randn(len(batch.targets), head_of(model).in_features, device=engine.device).bfloat16()
            tokens = (batch.targets, batch.advantage, batch.weight, None, engine.head)
            hidden_gradient(hidden, *tokens, temperature=1.0, beta=0.0)

    def write() -> None:
        features = torch.zeros(len(samples), engine.settings.dim)
        with tempfile.TemporaryDirectory() as folder:
            write_safetensors(Path(folder) / "x", {"features": features}, {}, "")

    floor = Floor(model, samples, engine.budget.tokens or 1)
    times = {}
    for part, work in (("forward", forward), ("head", head), ("writing", write), ("floor", floor.run)):
        work()
        times[part] = clock(work)
    times["backward"] = times["floor"] - times["forward"] - times["head"]
    times["sketch"] = seconds - times.pop("floor")
    return {part: round(one / seconds, 3) for part, one in times.items()}


def other_ways(model: nn.Module, samples: list[Sample], clock: Clock) -> dict[str, float]:
    """A reference model of the same size (β > 0), and the first pass of the exact way."""
    positions = sum(len(s.prompt_ids) + len(s.rollouts[0].token_ids) - 1 for s in samples)
    settings = dataclasses.replace(make_engine(model, "auto").settings, beta=0.04)
    reference, policy = LogProbs(model), GradientEngine(model, settings)
    exact = make_engine(model, "auto", projection="exact")
    direction = zero_direction(exact)
    weights = [1 / len(samples)] * len(samples)
    ways = {
        "with_reference": lambda: policy.features(with_reference(samples, reference.of(samples))),
        "exact_pass_1": lambda: accumulate(exact, samples, weights, direction),
    }
    speeds = {}
    for name, way in ways.items():
        way()
        speeds[name] = round(positions / clock(way), 1)
    return speeds


def print_model(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name}")
    for key, value in result.items():
        print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
