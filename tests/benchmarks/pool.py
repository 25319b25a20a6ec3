"""What reading a pool costs: rows a second, CPU seconds and memory, beside pyarrow, which only decodes the same lines.

    python -m tests.benchmarks.pool [--rows 10000,100000,1000000] [--rounds K] [--json FILE]

The pool is made up: questions of 45 words with a gold, a solution of 50 and two more columns, about 590 bytes a line. All sides take
turns, each in a process of its own with all cores: pyarrow has threads, and `read`, which gives ids, leaves out duplicates and checks each
row, reads a large file by several processes; `alone` is the same in one process; `store` reads the pool and writes the columns of
prompts.parquet. None has a tokenizer. Seconds by the clock and CPU seconds, those of its processes among them, are those after the imports;
memory is the process's most.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.grad_data import about

WORDS = re.findall(
    r"\w+",
    "Natalia sold clips to of her friends in April and then she half as many May How altogether did sell the total number cost "
    "each dollars per hour minutes",
)
READ = "data = DataConfig(path=sys.argv[1], prompt='question', answer='answer', solution='solution')\n"
OURS = "from learnalign.config import DataConfig\nfrom learnalign.prompts import read_pool\nimport pyarrow.compute"
STORE = f"""{OURS}
from pathlib import Path
from learnalign.pool_table import schema
from learnalign.rundir.files import write_parquet"""
SIDES = {
    "pyarrow": (
        "import pyarrow.json as pj",
        "pj.read_json(sys.argv[1])",
    ),
    "read": (OURS, READ + "read_pool(data)"),
    "alone": (
        OURS + "\nimport learnalign.pool_readers",
        "learnalign.pool_readers.LEAST = 1 << 60\n" + READ + "read_pool(data)",
    ),
    "store": (
        STORE,
        READ + "groups = (group.select(schema().names) for group in read_pool(data)[0].groups())\n"
        "write_parquet(Path(sys.argv[1] + '.parquet'), groups, '')",
    ),
}
MEASURE = """
import json, os, sys, time
import pyarrow
pyarrow.array(["it imports pandas"])
{imports}
cpu, clock = sum(os.times()[:4]), time.perf_counter()
{work}
cpu, clock = sum(os.times()[:4]) - cpu, time.perf_counter() - clock
memory = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024 / 1e9
print(json.dumps(dict(cpu_seconds=round(cpu, 3), seconds=round(clock, 3), gigabytes=round(memory, 3))))
"""


def write_pool(path: Path, rows: int) -> None:
    draw = random.Random(rows)
    with path.open("w") as file:
        for row in range(rows):
            question = f"{' '.join(draw.choices(WORDS, k=45))} {row}?"
            solution = f"{' '.join(draw.choices(WORDS, k=50))}\n#### {row % 97}"
            columns = {"question": question, "answer": str(row % 97), "solution": solution}
            file.write(json.dumps({**columns, "source": draw.choice("abc"), "level": row % 5}) + "\n")


def measure(side: str, path: Path) -> dict[str, Any]:
    imports, work = SIDES[side]
    code = MEASURE.format(imports=imports, work=work)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for rows in map(int, arguments.rows.split(",")):
        sides = found.setdefault(str(rows), {side: [] for side in SIDES})
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "pool.jsonl"
            write_pool(path, rows)
            for _ in range(arguments.rounds):
                for side, results in sides.items():
                    results.append(measure(side, path))
        clock = {side: [result["seconds"] for result in results] for side, results in sides.items()}
        for side, results in sides.items():
            speeds = f"{rows / statistics.median(clock[side]):,.0f} rows a second (best {rows / min(clock[side]):,.0f})"
            cpu = statistics.median(result["cpu_seconds"] for result in results)
            print(
                f"{rows:,} rows, {side}: {speeds}, {rows / cpu:,.0f} a CPU second, {results[0]['gigabytes']:.2f} GB",
                flush=True,
            )
        print(f"read / pyarrow: {min(clock['read']) / min(clock['pyarrow']):.1f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({**about(line_bytes=590), "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
