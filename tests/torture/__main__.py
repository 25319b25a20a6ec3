"""Torture: `python -m tests.torture [PART…] [--share F | --quick]`; all of it takes up to an hour on two cores.

Parts: kills, damage, disk, crowd, inputs, numbers. A part is a module beside this one with `trials()` and `NAMES`, the commands
that it needs undisturbed. Prints counts and stores them, with the failures by name, in tests/benchmarks/results/torture.json.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

from tests.torture.places import Place, make_states
from tests.torture.trials import Counts, chosen, run_trials, table, write_results

PARTS = ("kills", "damage", "disk", "crowd", "inputs", "numbers")
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "torture.json"


def main() -> int:
    arguments = _arguments()
    counted: dict[str, Counts] = {}
    with tempfile.TemporaryDirectory(prefix="learnalign-torture-") as folder:
        places = [Place(Path(folder) / f"place-{i}") for i in range(arguments.jobs)]
        for part in arguments.parts or PARTS:
            module = importlib.import_module(f"tests.torture.{part}")
            make_states(places, module.NAMES)
            trials = [trial for trial in module.trials() if arguments.only in trial.name]
            counted[part] = run_trials(chosen(trials, arguments.share), places)
            print(table(counted), flush=True)
    if not arguments.only:
        write_results(RESULTS, counted, arguments.share)
    return int(any(counts.failures for counts in counted.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Break runs in every way we know.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--share", type=float, default=1.0, metavar="F", help="fraction of the trials, 0 to 1")
    parser.add_argument("--quick", dest="share", action="store_const", const=0.05, help="--share 0.05")
    parser.add_argument("--only", default="", metavar="TEXT", help="trials with TEXT in their name; nothing is stored")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8), metavar="N", help="trials at a time")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
