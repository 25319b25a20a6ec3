"""How much of the gradients' work is padding: positions over tokens, counted by planning the batches of a whole pool.

    python -m tests.benchmarks.padding MODEL GSM8K [--json FILE]

MODEL is a folder with a tokenizer, GSM8K its train.jsonl. Half of the prompts have a gradient, in shards of 256 prompts. "filled" is the
plan that fills every batch of a shard to the budget; "planned" is that of the gradient stage. The second pool is not read but drawn:
completions of lognormal lengths as DAPO-Math-17k's (median 900, σ 0.8, cut at 3,072). No model runs.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from learnalign.gradients import Sample, UsedRollout
from learnalign.gradients.capture.batching import Row, longest, pack, padded_tokens, rows_of
from learnalign.gradients.capture.budget import BATCHES
from learnalign.gradients.inputs import ShardSamples, windows
from learnalign.rundir import Shard
from tests.benchmarks.grad_data import about, gsm8k_samples

SHARD = 256
BUDGETS = (4096, 8192, 16384, 32768, 65536)
Groups = Sequence[Sequence[Row]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("gsm8k")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pools = {"GSM8K": gsm8k_samples(arguments.model, arguments.gsm8k, 10**6), "drawn as DAPO's": drawn(17_917)}
    results = []
    for name, samples in pools.items():
        shards = [half(samples[i : i + SHARD], i) for i in range(0, len(samples), SHARD)]
        for budget in BUDGETS:
            counts = {way.__name__: padding(way(shards, budget)) for way in (filled, planned)}
            results.append({"pool": name, "budget": budget, **counts})
            words = [f"{way} {share:.3f} in batches of {size:,.0f}" for way, (share, size) in counts.items()]
            print(f"{name}, {budget:,} positions: {', '.join(words)}")
    if arguments.json:
        record = {**about(shard=SHARD, prompts={name: len(samples) for name, samples in pools.items()})}
        arguments.json.write_text(json.dumps({**record, "results": results}, indent=1) + "\n")


def drawn(count: int) -> list[Sample]:
    rng = random.Random(0)

    def length(median: float, spread: float) -> int:
        return max(1, round(median * rng.lognormvariate(0, spread)))

    return [
        Sample(str(i), [0] * length(110, 0.5), [UsedRollout([0] * min(3072, length(900, 0.8)), 1.0)])
        for i in range(count)
    ]


def half(samples: list[Sample], seed: int) -> list[Sample]:
    return random.Random(seed).sample(samples, len(samples) // 2)


def filled(shards: Sequence[list[Sample]], budget: int) -> Iterator[Groups]:
    """Longest first, as many as the budget holds, shard by shard."""
    for samples in shards:
        rows = sorted(rows_of(samples), key=lambda group: -longest(group))
        while rows:
            count = max(1, budget // longest(rows[0]))
            yield rows[:count]
            rows = rows[count:]


def planned(shards: Sequence[list[Sample]], budget: int) -> Iterator[Groups]:
    def read(shard: Shard) -> ShardSamples:
        return ShardSamples(shards[shard.index])

    places = (Shard(i, i * SHARD, (i + 1) * SHARD) for i in range(len(shards)))
    for window in windows(places, read, lambda: BATCHES * budget):
        yield from pack(rows_of([sample for _, own in window for sample in own.samples]), lambda: budget)


def padding(batches: Iterator[Groups]) -> tuple[float, float]:
    """Positions over tokens, and the mean positions of a batch."""
    positions, tokens = list[int](), 0
    for batch in batches:
        positions.append(padded_tokens(batch))
        tokens += sum(row.length for group in batch for row in group)
    return sum(positions) / tokens, sum(positions) / len(positions)


if __name__ == "__main__":
    main()
