"""What the command `select` costs, from run directory to subset, beside a bare read: the features read twice and multiplied, float32.

    python -m tests.benchmarks.select [--sizes ROWSxDIM …] [--rounds K] [--cold] [--keep FOLDER] [--json FILE]

A third side, `contract`, is a plain program of NumPy, Arrow and torch that gives the same numbers: the stored sums read, then all rows
once, in float64 and with digests, ids and success rates read, the ranking written. It has a share of its own and replaces the bare read
nowhere.

The run directories are made up: random success rates, and 4,096 random unit rows with a common direction, of which every prompt with
0 < p < 1 has one, with a few numbers of its own so that no two have the same score, in shards as `grad` writes them.

Each side runs in turn in a process of its own, with one thread, on files that are in the page cache if they fit; its CPU and wall seconds
are those after the imports. With `--cold` the files come from the disk: the run directory is taken out of the page cache before each turn,
and shares are of wall seconds; the bare read's second pass finds its files in the cache again, if they fit. A side's memory is the most
that the process had resident (VmHWM) with the imports: all sides read into memory of their own and map no file of features, so that the
page cache is in none's. By default 17,917 × 8192, the size of DAPO-Math-17k.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from learnalign.gradients.sums import sums_of
from learnalign.pool_table import ROWS, schema
from learnalign.prompts import load_prompts
from learnalign.rollouts.success import success_of
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet, write_safetensors
from tests.benchmarks.grad_data import about
from tests.selection.measured import GROUP, write_success
from tests.tiny import make_run

SHARD = 256
VARIOUS = 4096  # different rows of features, of which every prompt gets one, since making them takes long
OWN = 8  # numbers of a row that are its prompt's own
MEASURE = """
import json, pathlib, sys, time
import numpy as np, torch
torch.set_num_threads(1)
{imports}
cpu, wall = time.process_time(), time.perf_counter()
{work}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({{"cpu_seconds": cpu, "seconds": wall, "gigabytes": int(status["VmHWM"].split()[0]) / 1e6}}))
"""
SIDES = {
    "select": (
        """
import learnalign_cli.__main__  # as the command begins
import learnalign.handoff.exporting, learnalign.policy, learnalign.selection.stage, learnalign.signals.rendered, learnalign.summary
import learnalign_cli.app, pandas, pyarrow.fs, pyarrow.json, pyarrow.pandas_compat, pyarrow.parquet, rich._emoji_codes, rich.console
import rich.table, scipy.special, typer._adapters, typer._click.decorators
""",
        "learnalign_cli.app.app(['select', sys.argv[1], '-n', '1000'], standalone_mode=False)",
    ),
    "bare": (
        "",
        """
dim = int(sys.argv[2])
centroid = torch.ones(dim)
for _ in range(2):
    for file in sorted(pathlib.Path(sys.argv[1], "gradients").glob("part-*.safetensors")):
        content = np.fromfile(file, np.uint8)
        features = content[len(content) % (2 * dim) :].view(np.float16).reshape(-1, dim)
        values = torch.from_numpy(features).float() @ centroid
""",
    ),
    "contract": (
        "import pandas, pyarrow as pa, pyarrow.pandas_compat, pyarrow.parquet as pq, xxhash",
        """
run, dim = pathlib.Path(sys.argv[1]), int(sys.argv[2])
pool = pq.read_table(run / "prompts.parquet", columns=["id", "row"], use_threads=False)
success = pq.read_table(run / "success.parquet", use_threads=False).drop_columns(["id"])
learnability = success["learnability"].to_numpy()
places = np.flatnonzero(learnability > 0)
alignment, start, centroid = np.full(len(pool), np.nan), 0, 0
files = sorted((run / "gradients").glob("part-*.safetensors"))
for file in files:
    with file.open("rb") as opened:
        header = 8 + int.from_bytes(opened.read(8), "little")
        begin, end = json.loads(opened.read(header - 8))["sums"]["data_offsets"]
        opened.seek(header + begin)
        centroid = centroid + np.frombuffer(opened.read(end - begin)).reshape(2, dim)
for file in files:
    content = np.fromfile(file, np.uint8)
    xxhash.xxh3_128_hexdigest(content)
    header = 8 + int.from_bytes(content[:8].tobytes(), "little")
    begin, end = json.loads(content[8:header].tobytes())["features"]["data_offsets"]
    features = content[header + begin : header + end].view(np.float16).reshape(-1, dim)
    rows = torch.from_numpy(features).float().double()
    alignment[places[start : (start := start + len(rows))]] = (rows @ torch.from_numpy(centroid).T)[:, 0]
score = np.where(np.isnan(alignment), 0, learnability * alignment)
ranks = np.argsort(np.argsort(-score, kind="stable"))
table = pool.append_column("score", pa.array(score)).append_column("rank", pa.array(ranks))
table = table.append_column("alignment", pa.array(alignment)).append_column("norm", pa.array(alignment))
for name in success.column_names:
    table = table.append_column(name, success[name])
pq.write_table(table, run / ".contract.parquet", compression="zstd")
""",
    ),
}


def make_run_directory(folder: Path, rows: int, dim: int) -> RunDir:
    """A run directory that ends before the choice."""
    run = make_run(folder, grad={"dim": dim}, executor={"shard_size": SHARD})
    load_prompts(run)  # of a pool of twelve, in whose place another one is put
    with run.stage("pool") as record:
        pool = _pool(rows)
        groups = (pool.slice(start, ROWS) for start in range(0, rows, ROWS))
        write_parquet(run.prompts_file, groups, run.fingerprint("pool"))
        record.counts |= {"rows": rows, "prompts": rows, "left_out": 0}
    run = RunDir.open(run.path)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    various = torch.randn(VARIOUS, dim, generator=generator) + 0.2
    norms = various.norm(dim=1)
    units = (various / norms[:, None]).half()
    correct = rng.integers(0, GROUP + 1, rows).tolist()
    write_success(run, correct)
    ids, fingerprint = load_prompts(run).ids, run.fingerprint("grad")
    for shard in run.shards():
        places = [i for i in range(shard.start, shard.stop) if 0 < correct[i] < GROUP]
        drawn = torch.randint(VARIOUS, (len(places),), generator=generator)
        rows = units[drawn]
        rows[:, :OWN] = (torch.randn(len(places), OWN, generator=generator) / dim**0.5).half()
        tensors = {"features": rows, "norms": norms[drawn]}
        tensors |= sums_of(rows, [success_of(ids[i], GROUP, GROUP, correct[i]) for i in places])
        metadata = {"ids": json.dumps([ids[i] for i in places])}
        write_safetensors(run.gradients_file(shard), tensors, metadata, fingerprint, shard.rows)
    return run


def _pool(rows: int) -> pa.Table:
    """Questions of different lengths, with a column of few values beside them."""
    questions = [f"What is {i} + {i * i}?" for i in range(rows)]
    source = [
        json.dumps({"question": questions[i], "answer": str(i + i * i), "kind": f"kind {i % 5}", "level": i % 3})
        for i in range(rows)
    ]
    columns = {
        "id": [f"{i * 2654435761 % 2**32:08x}{i:08x}" for i in range(rows)],
        "row": range(rows),
        "messages": [[{"role": "user", "content": question}] for question in questions],
        "answer": [str(i + i * i) for i in range(rows)],
        "solution": [None] * rows,
        "source": source,
    }
    return pa.table(columns, schema=schema())


def measure(side: str, *arguments: str) -> dict[str, Any]:
    imports, work = SIDES[side]
    code = MEASURE.format(imports=imports, work=work)
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def drop_from_cache(folder: Path) -> None:
    """Have the system read the folder's files from the disk when they are read next."""
    for file in filter(Path.is_file, folder.rglob("*")):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())  # what is not on the disk yet stays in the cache
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_size(rows: int, dim: int, rounds: int, cold: bool, kept: Path | None) -> dict[str, Any]:
    """All sides in turn; prints and returns what each took. The run directory is made in `kept`, if it is not there yet."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if kept is None else kept / f"{rows}x{dim}"
        folder.mkdir(parents=True, exist_ok=True)
        run = RunDir.open(folder / "run") if (folder / "run").is_dir() else make_run_directory(folder, rows, dim)
        gradients = sum(file.stat().st_size for file in run.path.glob("gradients/*"))
        for _ in range(rounds):
            for side, results in found.items():
                if cold:
                    drop_from_cache(run.path)
                results.append(measure(side, str(run.path), str(dim)))
    key = "seconds" if cold else "cpu_seconds"
    median = {side: statistics.median(result[key] for result in found[side]) for side in SIDES}
    for side, results in found.items():
        seconds = [result[key] for result in results]
        words = (
            f"{median[side]:.2f} {'s from the disk' if cold else 'CPU s'} ({min(seconds):.2f} to {max(seconds):.2f})"
        )
        print(f"{rows:,} × {dim}, {side}: {words}, {max(r['gigabytes'] for r in results):.2f} GB")
    shares = {f"{side}_share": round(median[side] / median["select"], 3) for side in ("bare", "contract")}
    print(*(f"{name}: {share:.2f}" for name, share in shares.items()), sep=", ", flush=True)
    return {"rows": rows, "dim": dim, "cold": cold, "features_gb": round(gradients / 1e9, 2), **shares, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["17917x8192"], metavar="ROWSxDIM")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="files from the disk")
    parser.add_argument("--keep", type=Path, help="where run directories are made, and stay for the next time")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in arguments.sizes]
    measured = []
    for rows, dim in sizes:
        measured.append(measure_size(rows, dim, arguments.rounds, arguments.cold, arguments.keep))
        if arguments.json:
            record = {**about(shard=SHARD, feature_dtype="float16"), "measured": measured}
            arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
