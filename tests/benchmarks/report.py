"""Seconds and megabytes of a run's report, and seconds until its table stands in a browser, by the size of the pool.

`python -m tests.benchmarks.report [--rows N] [--dim D] [--tokens T] [--json FILE]`

The run is made up: prompts of 40 words in 12 kinds, 8 completions of T words each, half of the prompts learnable with a
gradient of D coordinates, 1,000 chosen. By default 100,000 prompts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from learnalign.config import load_config
from learnalign.prompts import Prompt
from learnalign.report import write_report
from learnalign.rollouts.groups import Rollout, write_rollouts
from learnalign.rollouts.success import success_of, write_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet, write_safetensors
from tests.report.browser import Browser, find_browser

GROUP, CHOSEN, SHARD = 8, 1000, 2048
WORDS = [f"word{i}" for i in range(500)]


def make_run(folder: Path, rows: int, dim: int, tokens: int) -> RunDir:
    """The run directory's files, as the stages write them."""
    import pyarrow as pa

    rng = np.random.default_rng(0)
    run = RunDir.create(folder, load_config("demo", [f"executor.shard_size={SHARD}", "warmup.size=0"]))

    def text(count: int) -> str:
        return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), count))

    prompts = [
        Prompt(
            f"{i:016x}",
            i,
            [{"role": "user", "content": text(40)}],
            str(i),
            None,
            json.dumps({"kind": f"kind {i % 12}"}),
        )
        for i in range(rows)
    ]
    names = list(Prompt.__dataclass_fields__)
    table = pa.table({name: [getattr(prompt, name) for prompt in prompts] for name in names})
    write_parquet(run.prompts_file, table, run.fingerprint("pool"))
    correct = np.where(rng.random(rows) < 0.5, rng.choice([0, GROUP], rows), rng.integers(1, GROUP, rows))
    success = [success_of(prompt.id, GROUP, GROUP, int(c)) for prompt, c in zip(prompts, correct, strict=True)]
    write_success(run, success)
    for shard in run.shards():
        rollouts = [
            Rollout(prompts[i].id, k, [1], [1] * tokens, text(tokens), float(k < correct[i]), "stop", "made up")
            for i in range(shard.start, shard.stop)
            for k in range(GROUP)
        ]
        write_rollouts(run, shard, rollouts)
        places = [i for i in range(shard.start, shard.stop) if 0 < correct[i] < GROUP]
        features = torch.from_numpy(rng.standard_normal((len(places), dim), np.float32))
        norms = features.norm(dim=1)
        metadata = {"ids": json.dumps([prompts[i].id for i in places])}
        tensors = {"features": features / norms[:, None], "norms": norms}
        write_safetensors(run.gradients_file(shard), tensors, metadata, run.fingerprint("grad"), shard.rows)
    _write_scores(run, [prompt.id for prompt in prompts], np.array([row.learnability for row in success]), rng)
    return run


def _write_scores(run: RunDir, ids: list[str], learnability: np.ndarray, rng: np.random.Generator) -> None:
    import pyarrow as pa

    score = learnability * rng.random(len(ids))
    order = np.argsort(-score, kind="stable")
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.arange(1, len(ids) + 1)
    chosen = rank <= CHOSEN
    columns = {"id": ids, "score": score, "rank": rank, "selected": chosen, "skipped": [None] * len(ids)}
    columns |= {
        name: np.where(chosen, rng.random(len(ids)), np.nan) for name in ("alignment", "norm", "signal", "kept")
    }
    write_parquet(run.scores_file("learnalign"), pa.table(columns), "benchmark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=8192)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", arguments.rows, arguments.dim, arguments.tokens)
        started = time.monotonic()
        page = write_report(run)
        measured = {"rows": arguments.rows, "dim": arguments.dim, "seconds": round(time.monotonic() - started, 1)}
        measured["megabytes"] = round(page.stat().st_size / 1e6, 1)
        if find_browser():
            with Browser(Path(folder) / "browser") as browser:
                started = time.monotonic()
                browser.open(page)
                browser.until("document.querySelectorAll('#table tbody tr').length > 0")
                measured["seconds until the table stands"] = round(time.monotonic() - started, 1)
    print(json.dumps(measured))
    if arguments.json:
        arguments.json.write_text(json.dumps(measured) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
