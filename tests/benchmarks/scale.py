"""What one and two workers take for rollouts and gradients, as processes of one command, as slices, and on a Ray cluster of this machine.

    python -m tests.benchmarks.scale [--rounds K] [--rows N] [--json FILE]

Each way runs `learnalign rollout`, `grad` and `select` as its user does, on the embedded model and the pool demo-arithmetic, in turn; each
worker has one thread. Seconds are by the clock from start to end of the command (of both, for slices), so the machine must be idle. The
subset must be the same, byte for byte, and so must all features.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from learnalign.rundir import RunDir
from tests.benchmarks.grad_data import about

SETTINGS = {
    "data.path": "demo-arithmetic",
    "warmup.size": 0,
    "rollout.engine": "transformers",
    "rollout.num_generations": 16,
    "grad.rollouts": "all",
    "select.size": 20,
    "executor.shard_size": 32,
}
WAYS: dict[str, tuple[list[list[str]], list[str]]] = {  # options of the commands that run at once, and more settings
    "one worker": ([[]], []),
    "two workers of one command": ([[]], ["executor.devices=2"]),
    "two slices": ([["--slice", "1/2"], ["--slice", "2/2"]], []),
    "Ray, two workers": ([[]], ["executor.kind=ray", "executor.devices=2"]),
}
STAGES = ("rollout", "grad")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "learnalign_cli", *map(str, arguments)]


def run_way(way: str, folder: Path, rows: int) -> dict[str, Any]:
    """Seconds of each stage, its CPU seconds, and the bytes that all ways must share."""
    options, more = WAYS[way]
    sets = [f"--set={key}={value}" for key, value in SETTINGS.items()] + [f"--set={each}" for each in more]
    measured: dict[str, Any] = {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for stage in STAGES:
        started = time.monotonic()
        begun = [
            subprocess.Popen(
                command(stage, folder, "--config=demo", *sets, f"--set=data.limit={rows}", *option),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            for option in options
        ]
        if any([process.wait() for process in begun]):
            raise SystemExit(f"{way}: {stage} failed; run it by hand to see why")
        measured[f"{stage} seconds"] = time.monotonic() - started
    subprocess.run(command("select", folder), check=True, capture_output=True, env=environment)
    stages = RunDir.peek(folder).read_record()["stages"]
    measured |= {f"{stage} CPU seconds": stages[stage]["cpu_seconds"] for stage in STAGES}
    files = [folder / "subset.jsonl", *sorted(folder.glob("gradients/*")), *sorted(folder.glob("rollouts/*"))]
    return measured | {"bytes": {str(file.relative_to(folder)): file.read_bytes() for file in files}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    stored: dict[str, bytes] | None = None
    for number in range(options.rounds):
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                measured = run_way(way, Path(folder) / "run", options.rows)
            content = measured.pop("bytes")
            stored = stored or content
            if different := [name for name in stored.keys() | content.keys() if stored.get(name) != content.get(name)]:
                raise SystemExit(f"{way}: other bytes in {', '.join(sorted(different))}")
            rounds[way].append(measured)
            print(f"round {number + 1}, {way}: {', '.join(f'{k} {v:.1f}' for k, v in measured.items())}", flush=True)
    medians = {
        way: {key: statistics.median(each[key] for each in them) for key in them[0]} for way, them in rounds.items()
    }
    result: dict[str, Any] = {"settings": SETTINGS, "rounds": options.rounds, "ways": medians}
    alone = medians["one worker"]
    result["speed-up"] = {
        way: {stage: alone[f"{stage} seconds"] / each[f"{stage} seconds"] for stage in STAGES}
        for way, each in medians.items()
    }
    result["same subset, features and rollouts"] = True  # else it has ended above
    result = about(rows=options.rows) | result
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
