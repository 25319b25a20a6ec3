"""What `select` costs, from run directory to subset, beside the least that it must do: read the features twice and multiply.

    python -m tests.benchmarks.select [--rows N] [--dim D] [--rounds K] [--json FILE]

The run directory is made up: random success rates, and random unit rows with a common direction in shards as `grad` writes them. Each
side runs in turn in a process of its own, with one thread; its CPU seconds are those after the imports, and its memory is the
process's most. By default 17,917 × 8192, the size of DAPO-Math-17k.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_safetensors
from tests.benchmarks.grad_data import about
from tests.selection.measured import GROUP, write_success
from tests.tiny import make_run

MEASURE = """
import json, resource, sys, time
import numpy as np, torch
torch.set_num_threads(1)
{imports}
started = time.process_time()
{work}
seconds = time.process_time() - started
print(json.dumps({{"cpu_seconds": seconds, "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}}))
"""
SIDES = {
    "select": (
        "from pathlib import Path\nfrom learnalign.rundir import RunDir\nfrom learnalign.selection.stage import select\n"
        "import learnalign.handoff, learnalign.policy",
        "select(RunDir.open(Path(sys.argv[1])), 1000)",
    ),
    "bare": (
        "from pathlib import Path",
        """
files = sorted(Path(sys.argv[1], "gradients").glob("part-*.safetensors"))
centroid, values = np.ones(int(sys.argv[2]), np.float32), []
for _ in range(2):
    for file in files:
        rows = np.fromfile(file, np.float32, offset=file.stat().st_size % (4 * len(centroid)) // 4 * 4)
        values.append(rows[: len(rows) // len(centroid) * len(centroid)].reshape(-1, len(centroid)) @ centroid)
""",
    ),
}


def make_run_directory(folder: Path, rows: int, dim: int) -> RunDir:
    """A run directory that ends before the choice."""
    run = make_run(folder, rows, grad={"dim": dim}, executor={"shard_size": 256})
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    correct = rng.integers(0, GROUP + 1, rows).tolist()
    write_success(run, correct)
    ids = [prompt.id for prompt in load_prompts(run)]
    fingerprint = run.fingerprint("grad")
    for shard in run.shards():
        places = [i for i in range(shard.start, shard.stop) if 0 < correct[i] < GROUP]
        features = torch.randn(len(places), dim, generator=generator) + 0.2
        norms = features.norm(dim=1)
        tensors = {"features": features / norms[:, None], "norms": norms}
        metadata = {"ids": json.dumps([ids[i] for i in places])}
        write_safetensors(run.gradients_file(shard), tensors, metadata, fingerprint, shard.rows)
    return run


def measure(side: str, *arguments: str) -> dict[str, Any]:
    imports, work = SIDES[side]
    code = MEASURE.format(imports=imports, work=work)
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=17_917)
    parser.add_argument("--dim", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as temporary:
        run = make_run_directory(Path(temporary), arguments.rows, arguments.dim)
        for _ in range(arguments.rounds):
            for side, results in found.items():
                results.append(measure(side, str(run.path), str(arguments.dim)))
    for side, results in found.items():
        seconds = [result["cpu_seconds"] for result in results]
        words = f"{statistics.median(seconds):.2f} CPU s ({min(seconds):.2f} to {max(seconds):.2f})"
        print(f"{arguments.rows:,} × {arguments.dim}, {side}: {words}, {results[0]['gigabytes']:.2f} GB")
    bare, ours = (statistics.median(r["cpu_seconds"] for r in found[side]) for side in ("bare", "select"))
    print(f"select / bare: {ours / bare:.2f}")
    if arguments.json:
        record = {**about(rows=arguments.rows, dim=arguments.dim, shard=256), "found": found}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
