"""What importing completions costs (`rollout --from FILE`): completions a CPU second, and memory.

    python -m tests.benchmarks.imports [--prompts 500,2000,8000] [--generations G] [--beside DIRECTORY] [--json FILE]

The file is made up: texts of 150 words, about 900 bytes, in random order, without token ids, for prompts of an embedded tokenizer;
the verifier compares texts. The pool is prepared before. CPU seconds are those of the import alone, memory is the most of the process
over what it had before. DIRECTORY holds another version of this repository, which takes turns with this one. Each import is a process
of its own with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.grad_data import about
from tests.benchmarks.pool import WORDS

MEASURE = """
import json, sys, time
from learnalign.rollouts import import_rollouts
from learnalign.rundir import RunDir
from tests.benchmarks.grad_data import PeakMemory
from learnalign.policy import run_tokenizer
run = RunDir.open(sys.argv[1])
run_tokenizer(run)("it imports what it needs")
cpu, clock = time.process_time(), time.perf_counter()
with PeakMemory() as memory:
    import_rollouts(run, sys.argv[2])
cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
print(json.dumps(dict(cpu_seconds=round(cpu, 3), seconds=round(clock, 3), gigabytes=memory.gigabytes)))
"""
PREPARE = """
import sys
from learnalign.config import build_config
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
config = build_config({"model": {"name": "demo"}, "data": {"path": sys.argv[2], "id": "id"}, "verifier": "exact"})
load_prompts(RunDir.create(sys.argv[1], config))
"""


def write_files(folder: Path, prompts: int, generations: int) -> None:
    draw = random.Random(prompts)
    with (folder / "pool.jsonl").open("w") as file:
        for i in range(prompts):
            row = {"id": f"prompt-{i}", "prompt": f"{' '.join(draw.choices(WORDS, k=45))} {i}?", "answer": str(i % 97)}
            file.write(json.dumps(row) + "\n")
    order = [i for i in range(prompts) for _ in range(generations)]
    draw.shuffle(order)
    with (folder / "completions.jsonl").open("w") as file:
        for i in order:
            text = f"{' '.join(draw.choices(WORDS, k=150))} {draw.randrange(97)}"
            file.write(json.dumps({"id": f"prompt-{i}", "completion": text}) + "\n")


def call(code: str, place: str | None, *arguments: Path) -> str:
    paths = os.pathsep.join([place, os.environ.get("PYTHONPATH", "")]) if place else os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", default="500,2000,8000")
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sides = {"here": None} | ({"beside": str(arguments.beside)} if arguments.beside else {})
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for prompts in map(int, arguments.prompts.split(",")):
        count = prompts * arguments.generations
        results = found.setdefault(str(count), {side: [] for side in sides})
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_files(folder, prompts, arguments.generations)
            for turn in range(arguments.rounds):
                for side, place in sides.items():
                    run = folder / f"{side}-{turn}"
                    call(PREPARE, place, run, folder / "pool.jsonl")
                    output = call(MEASURE, place, run, folder / "completions.jsonl")
                    results[side].append(json.loads(output.splitlines()[-1]))
        for side, measured in results.items():
            seconds = statistics.median(one["cpu_seconds"] for one in measured)
            memory = max(one["gigabytes"] for one in measured)
            print(
                f"{count:,} completions, {side}: {count / seconds:,.0f} a CPU second, {memory:.3f} GB ({1e6 * memory / count:.2f} kB each)",
                flush=True,
            )
    if arguments.json:
        content = {**about(completion_bytes=900, generations=arguments.generations), "found": found}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
