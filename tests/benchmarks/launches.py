"""What a batch of gradients asks of a GPU, counted on a CPU: calls that compute (kernels), and bytes that they read and write.

    python -m tests.benchmarks.launches [--json FILE]

A model of Qwen2.5-1.5B's 28 layers with a tenth of its width, in float32: calls depend on layers and batches alone, bytes are given over
those of the bare forward and activation-only backward of the same batch. Every batch has all samples. Calls that only make a view are
not counted. What is one kernel on a GPU (attention, a fold's product) can be several calls on a CPU: the counts are upper estimates.
results/launches.json has the same counts of an earlier commit beside them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, Qwen2Config

from learnalign.gradients.exact.alignment import accumulate, inner_products, zero_direction
from tests.benchmarks.grad_data import about
from tests.benchmarks.grad_gpu import random_samples
from tests.benchmarks.grad_ways import Floor, make_engine

LAYERS, WIDTH, INNER, VOCABULARY = 28, 160, 896, 4096
BATCHES = {"8 samples of 80": (8, 40), "32 samples of 80": (32, 40)}


class Counter(TorchDispatchMode):
    """Calls that compute, and the bytes of the tensors that they take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.bytes = 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        taken = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        given = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        owners = {each.untyped_storage().data_ptr() for each in taken}
        moved = function.is_view or (given and not function._schema.is_mutable and _only_views(given, owners))
        if not moved:
            self.calls += 1
            self.bytes += sum(each.numel() * each.element_size() for each in taken + given)
        return result


def _only_views(given: list[torch.Tensor], owners: set[int]) -> bool:
    return all(each.untyped_storage().data_ptr() in owners for each in given)


def counted(work: Callable[[], object]) -> tuple[int, int]:
    with Counter() as counter:
        work()
    return counter.calls, counter.bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=10,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, (count, half) in BATCHES.items():
        samples = random_samples(count, half, VOCABULARY)
        engine = make_engine(model, 10**6)
        engine.features(samples[:1])  # makes Γ
        exact = make_engine(model, 10**6, projection="exact")
        direction = zero_direction(exact)
        ways: dict[str, Callable[[], object]] = {
            "bare": Floor(model, samples, 10**6).run,
            "features": lambda engine=engine, samples=samples: engine.features(samples),
            "exact, pass 1": lambda exact=exact, samples=samples, direction=direction: accumulate(
                exact, samples, [1.0] * len(samples), direction
            ),
            "exact, pass 2": lambda exact=exact, samples=samples, direction=direction: inner_products(
                exact, samples, direction
            ),
        }
        counts = {way: counted(work) for way, work in ways.items()}
        results[name] = {
            way: {"calls": calls, "bytes over bare": round(moved / counts["bare"][1], 3)}
            for way, (calls, moved) in counts.items()
        }
        for way, values in results[name].items():
            print(f"{name}, {way}: {values['calls']:,} calls, bytes {values['bytes over bare']} × bare", flush=True)
    if arguments.json:
        sizes = {"layers": LAYERS, "width": WIDTH, "inner": INNER, "vocabulary": VOCABULARY}
        arguments.json.write_text(json.dumps(about(**sizes) | {"batches": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
