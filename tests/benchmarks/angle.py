"""Prompts per second of the angle signal against the bare prefill of the same batches.

`python -m tests.benchmarks.angle [--shape demo|135m|0.5b] [--prompts N] [--batch-tokens N] [--json FILE]`

`demo` is the embedded model; the others have the shapes of SmolLM2-135M and Qwen2.5-0.5B, random weights (bfloat16 on a
GPU). Prompts are random ids of GSM8K's lengths, with a first segment as long as the paper's system prompt. The bare
prefill runs the model's body alone, no output head. Both are timed in turn, on padded batches made before; on a CPU the
time is that of the process, so that other work on the machine does not count. Aim: within 1.2 times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen2Config

from learnalign import demo
from learnalign.policy.memory import pack_batches
from learnalign.policy.parts import body_of
from learnalign.signals.angle import angle_concentration
from learnalign.signals.batches import pad

PREFIX = 90  # tokens of the paper's GSM8K system prompt, template included
SHAPES: dict[str, Callable[[], Any]] = {
    "135m": lambda: LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    ),
    "0.5b": lambda: Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
}


def load(shape: str, device: torch.device) -> PreTrainedModel:
    """The embedded model, or a random one of a known shape."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if shape == "demo":
        model = AutoModelForCausalLM.from_pretrained(demo.MODEL, dtype=dtype)
    else:
        model = AutoModelForCausalLM.from_config(SHAPES[shape](), dtype=dtype)
    model.to(device=device)  # type: ignore[call-arg]  # transformers wraps it
    return model.eval().requires_grad_(False)


def random_prompts(count: int, vocabulary: int) -> list[list[int]]:
    """Ids of the lengths of GSM8K's questions (log-normal, median 52 tokens, at most 250) behind the first segment."""
    rng = np.random.default_rng(0)
    lengths = PREFIX + np.clip(np.exp(rng.normal(np.log(52), 0.4, count)), 15, 250).astype(int)
    return [rng.integers(0, vocabulary, length).tolist() for length in lengths]


def measure(model: PreTrainedModel, batches: Sequence[list[list[int]]], repeats: int) -> dict[str, float]:
    """Median seconds of both over `repeats` rounds, in turn, after one round to warm up."""
    padded = [pad(batch, model.device) for batch in batches]
    clock = time.perf_counter if model.device.type == "cuda" else time.process_time
    seconds: dict[str, list[float]] = {"prefill": [], "angle": []}

    def prefill() -> None:
        with torch.no_grad():
            for token_ids in padded:
                body_of(model)(input_ids=token_ids, use_cache=False)

    def angle() -> None:
        for batch in batches:
            angle_concentration(model, batch, [PREFIX] * len(batch))

    for _ in range(repeats + 1):
        for name, work in (("prefill", prefill), ("angle", angle)):
            started = clock()
            work()
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(clock() - started)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["demo", *SHAPES], default="demo")
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--batch-tokens", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    model = load(arguments.shape, device)
    prompts = random_prompts(arguments.prompts, model.config.vocab_size)
    batches = [
        [prompts[i] for i in batch] for batch in pack_batches([len(p) for p in prompts], lambda: arguments.batch_tokens)
    ]
    seconds = measure(model, batches, arguments.repeats)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, one thread"
    tokens = sum(map(len, prompts))
    result = {
        "device": name,
        "shape": arguments.shape,
        "dtype": str(model.dtype),
        "torch": torch.__version__,
        "prompts": len(prompts),
        "tokens": tokens,
        **{f"{what}_prompts_per_second": len(prompts) / value for what, value in seconds.items()},
        "ratio": seconds["angle"] / seconds["prefill"],
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{name}, {arguments.shape}, {len(prompts)} prompts of {tokens / len(prompts):.0f} tokens, {model.dtype}")
    for what, value in seconds.items():
        print(f"{what:8} {len(prompts) / value:10.1f} prompts/s {tokens / value:12.0f} tokens/s")
    print(f"angle / prefill: {result['ratio']:.3f} (aim: at most 1.2)")


if __name__ == "__main__":
    main()
