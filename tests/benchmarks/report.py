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

from learnalign.report import write_report
from learnalign.rundir import RunDir
from tests.report.browser import Browser, find_browser
from tests.report.runs import GROUP, add_gradients, add_pool, add_rollouts, add_scores, new_run

CHOSEN = 1000
WORDS = [f"word{i}" for i in range(500)]


def make_run(folder: Path, rows: int, dim: int, tokens: int) -> RunDir:
    """The run directory's files, as the stages write them."""
    rng = np.random.default_rng(0)

    def text(count: int) -> str:
        return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), count))

    run = new_run(folder, "executor.shard_size=2048")
    prompts = add_pool(run, [text(40) for _ in range(rows)], [f"kind {i}" for i in range(12)])
    correct = np.where(rng.random(rows) < 0.5, rng.choice([0, GROUP], rows), rng.integers(1, GROUP, rows))
    add_rollouts(run, prompts, correct.tolist(), lambda i, k: text(tokens))
    add_gradients(run, prompts, correct.tolist(), lambda places: rng.standard_normal((len(places), dim), np.float32))
    rate = correct / GROUP
    add_scores(run, prompts, rate * (1 - rate) * rng.random(rows), min(CHOSEN, rows))
    return run


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
