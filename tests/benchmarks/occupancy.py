"""How full an engine is while shards come one after another: counted, not timed.

    python -m tests.benchmarks.occupancy [-o FILE]

An engine works on so many completions at once, a token of each a step, and takes those that wait in their order. Lengths are
long-tailed. Counted are the steps until all have ended: with all of them there from the start, over those with a fixed number of
shards at once, and over those with a further shard whenever fewer completions are unfinished than twice what the engine works on
(learnalign/rollouts/unfinished.py). What a step takes, and what comes between shards, is not counted.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "occupancy.json"
SHARD, SHARDS = 256 * 8, 16  # completions of a shard; shards
LENGTHS = {  # μ and σ of the log of a length, the longest
    "about 240 tokens, at most 1,024": (5.35, 0.5, 1024),
    "about 900 tokens, at most 8,192": (6.5, 0.8, 8192),
}


def steps(shards: Sequence[Sequence[int]], rows: int, begins: Callable[[int, int], bool]) -> int:
    """Steps until all completions have ended; a shard is taken while `begins(running shards, unfinished completions)`."""
    waiting: list[tuple[int, int]] = []
    running: list[tuple[int, int]] = []  # the step at which a completion ends, and its shard
    left: dict[int, int] = {}
    step = taken = begun = 0
    while left or begun < len(shards):
        while begun < len(shards) and begins(len(left), sum(left.values())):
            left[begun] = len(shards[begun])
            waiting += [(length, begun) for length in shards[begun]]
            begun += 1
        while taken < len(waiting) and len(running) < rows:
            length, shard = waiting[taken]
            heapq.heappush(running, (step + length, shard))
            taken += 1
        step = running[0][0]
        while running and running[0][0] == step:
            shard = heapq.heappop(running)[1]
            left[shard] -= 1
            if not left[shard]:
                del left[shard]
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, default=RESULTS, dest="output")
    options = parser.parse_args()
    ways: dict[str, Callable[[int], Callable[[int, int], bool]]] = {
        "one at a time": lambda rows: lambda running, _: running < 1,
        "two at a time": lambda rows: lambda running, _: running < 2,
        "as many as keep it full": lambda rows: lambda _, unfinished: unfinished < 2 * rows,
    }
    results = []
    for name, (mean, spread, longest) in LENGTHS.items():
        rng = random.Random(0)
        shards = [
            [min(longest, 1 + int(rng.lognormvariate(mean, spread))) for _ in range(SHARD)] for _ in range(SHARDS)
        ]
        for rows in (256, 1024):
            best = steps(shards, rows, lambda running, unfinished: True)
            shares = {way: round(best / steps(shards, rows, make(rows)), 3) for way, make in ways.items()}
            results.append({"lengths": name, "completions at once": rows, **shares})
            print(results[-1], flush=True)
    sizes = {"shards": SHARDS, "completions of a shard": SHARD}
    options.output.write_text(json.dumps({"sizes": sizes, "speed over all at once": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
