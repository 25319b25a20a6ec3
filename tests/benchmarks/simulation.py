"""Hours of a whole selection by the size of the pool and the number of GPUs, and what breaks first: a simulation, not a promise.

    python -m tests.benchmarks.simulation [--simulate] [--json FILE]

The hours are those of `learnalign plan` for LearnAlign's run on DAPO-Math-17k (Qwen2.5-3B), by published rates. What a pool costs the
machine that leads is measured here, each part in a process of its own with one thread: memory of a prompt, time of a line of
manifest.jsonl, `select`'s time for a prompt and for its features. These values belong into `host` of learnalign/published_rates.yaml;
then run it again with --simulate.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learnalign.ahead import plan_ahead
from learnalign.config import build_config, load_config
from learnalign.prompts import load_prompts
from learnalign.published import host_rates
from learnalign.rundir import RunDir
from learnalign_cli.common import size_text
from learnalign_cli.planning import two_digits
from tests.benchmarks.grad_data import about
from tests.benchmarks.select import make_run_directory, measure
from tests.tiny import make_config

ROWS = tuple(10**power for power in range(3, 10))
GPUS = (1, 8, 64, 1024)
CHARACTERS = 300  # of a question
# Qwen2.5-3B's config.json: the plan takes its size from there.
SHAPE = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
MEMORY = """
import resource, sys
from pathlib import Path
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
load_prompts(RunDir.open(Path(sys.argv[1])))
print(1000 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
LINES = """
import sys, time
from pathlib import Path
from learnalign.rundir.manifest import manifest_of
started = time.process_time()
manifest_of(Path(sys.argv[1], "run.json")).paths()
print(time.process_time() - started)
"""


def bytes_per_prompt(folder: Path, few: int = 2_000, many: int = 42_000) -> float:
    """Peak memory that each more prompt of a prepared pool takes in a process that loads it."""
    peaks = []
    for count in (few, many):
        config = make_config(folder / str(count), 1)
        rows = ({"question": f"{i} ".ljust(CHARACTERS, "x"), "answer": str(i)} for i in range(count))
        Path(config.data.path).write_text("".join(json.dumps(row) + "\n" for row in rows))
        run = RunDir.create(folder / str(count) / "run", config)
        load_prompts(run)
        peaks.append(last_number(MEMORY, str(run.path)))
    return (peaks[1] - peaks[0]) / (many - few)


def seconds_per_line(folder: Path, lines: int = 200_000) -> float:
    """CPU time to read a line of manifest.jsonl: those of one run, repeated for made-up shards."""
    run = make_run_directory(folder, 512, 16)
    manifest = run.path / "manifest.jsonl"
    written = manifest.read_text().splitlines()
    manifest.write_text("\n".join([written[0], *(written[-2:] * (lines // 2))]) + "\n")
    return last_number(LINES, str(run.path)) / lines


def select_rates(folder: Path, rows: int = 100_000, dims: tuple[int, int] = (64, 8192)) -> dict[str, float]:
    """`select`'s seconds for a prompt and bytes of features a second, from two sizes of features."""
    seconds, sizes = [], []
    for dim in dims:
        run = make_run_directory(folder / str(dim), rows, dim)
        seconds.append(min(measure("select", str(run.path), str(dim))["cpu_seconds"] for _ in range(3)))
        sizes.append(sum(run.gradients_file(shard).stat().st_size for shard in run.shards()))
    speed = (sizes[1] - sizes[0]) / (seconds[1] - seconds[0])
    return {
        "select_seconds_per_prompt": (seconds[0] - sizes[0] / speed) / rows,
        "select_bytes_per_second": speed,
    }


def measure_host(folder: Path) -> dict[str, float]:
    return {
        "bytes_per_prompt": int(rounded(bytes_per_prompt(folder / "prompts"))),
        "seconds_per_line": rounded(seconds_per_line(folder / "manifest")),
        **{name: rounded(value) for name, value in select_rates(folder / "select").items()},
    }


def last_number(code: str, *arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def simulate(folder: Path) -> list[dict[str, Any]]:
    """By rows: hours on each number of GPUs [low, high], disk, and what is beyond its limit, the worst first."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SHAPE))
    settings = load_config("dapo-math-17k").model_dump(mode="json")
    config = build_config({**settings, "model": {**settings["model"], "name": str(folder)}})
    found = []
    for rows in ROWS:
        plans = {gpus: plan_ahead(config, rows=rows, gpus=gpus) for gpus in GPUS}
        one = plans[1]
        hours = {str(gpus): [rounded(time / 3600) for time in (p.time.low, p.time.high)] for gpus, p in plans.items()}
        found.append(
            {
                "rows": rows,
                "hours": hours,
                "disk_bytes": sum(work.disk_bytes or 0 for work in one.stages),
                "strains": [asdict(strain) | {"share": strain.share} for strain in one.strains],
            }
        )
    return found


def rounded(number: float) -> float:
    """To two digits."""
    return float(f"{number:.2g}")


def table(found: list[dict[str, Any]]) -> list[str]:
    """The rows of the README's table."""
    lines = []
    for one in found:
        rows = f"{one['rows']:,}"
        hours = [" to ".join(two_digits(number) for number in range_) for range_ in one["hours"].values()]
        rest = [size_text(one["disk_bytes"]), beyond(one["strains"])]
        lines.append(f"| {' | '.join([rows, *hours, *rest])} |")
    return lines


def beyond(strains: list[dict[str, Any]]) -> str:
    """What is beyond its limit, the worst first; if nothing is, the one nearest to it."""
    broken = [strain["what"] for strain in strains if strain["share"] >= 1]
    name, percent = strains[0]["what"], int(100 * strains[0]["share"])
    nearest = f"; {name} at {percent} % of its limit" if percent else ""
    return ", ".join(broken) or f"nothing{nearest}"


def breaks_at(found: list[dict[str, Any]]) -> str:
    """At how many prompts each strain meets its limit, the first one first; all grow in proportion to the pool."""
    strains, rows = found[-1]["strains"], found[-1]["rows"]
    return ", ".join(f"{strain['what']} at {two_digits(rows / strain['share'] / 1e6)} million" for strain in strains)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", action="store_true", help="measure nothing; take the rates that are there")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        host = asdict(host_rates()) if arguments.simulate else measure_host(folder)
        found = simulate(folder / "model")
    for name, value in host.items():
        print(f"{name}: measured {value:g}, published_rates.yaml has {getattr(host_rates(), name):g}")
    print("\n".join([*table(found), breaks_at(found)]))
    if arguments.json:
        record = {**about(gpus=GPUS, characters=CHARACTERS), "host": host, "simulated": found}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
