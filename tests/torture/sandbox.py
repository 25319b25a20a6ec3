"""Torture of the sandbox: `python -m tests.torture.sandbox [PART…] [--share F]`; a quarter of an hour on two cores.

Parts: the kinds of hostile programs (tests/verify/code/hostile), and kills. All of it behind the limits of `guard`. Prints counts
and stores them, with the failures by name, in tests/benchmarks/results/torture-sandbox.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from learnalign.errors import LearnAlignError
from tests.torture import guard, sandbox_kills
from tests.torture.sandbox_attacks import attack
from tests.torture.trials import Counts, Outcome, chosen, table, write_results
from tests.verify.code.hostile import KINDS
from tests.verify.code.hostile.outside import outside

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "torture-sandbox.json"
KILLS = "kills"
PARTS = (*KINDS, KILLS)


def main() -> int:
    arguments = _arguments()
    if guard.INSIDE not in os.environ:
        print(guard.limits(), flush=True)
        try:
            return guard.guarded("tests.torture.sandbox", sys.argv[1:])
        except LearnAlignError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    counted: dict[str, Counts] = {}
    with tempfile.TemporaryDirectory(prefix="learnalign-torture-") as folder:
        for part in arguments.parts or PARTS:
            counts = counted[part] = Counts()
            for outcome in _outcomes(part, Path(folder), arguments):
                counts.add(outcome)
                if arguments.only or outcome.problems:
                    print(f"{outcome.name}: {'; '.join(outcome.problems) or 'held'}", file=sys.stderr, flush=True)
            print(table(counted), flush=True)
            if not arguments.only and arguments.share == 1.0:
                write_results(RESULTS, counted, arguments.share)
    return int(any(counts.failures for counts in counted.values()))


def _outcomes(part: str, folder: Path, arguments: argparse.Namespace) -> Iterator[Outcome]:
    if part == KILLS:
        yield from sandbox_kills.outcomes(folder / KILLS, arguments.share)
        return
    programs = [hostile for hostile in KINDS[part] if arguments.only in hostile.name]
    with outside(folder / part) as host:
        for hostile in chosen(programs, arguments.share):
            yield attack(hostile, host)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture.sandbox", description="Attack the sandbox of `code`."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--share", type=float, default=1.0, metavar="F", help="fraction of the trials, 0 to 1; stored if 1"
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="programs with TEXT in their name; nothing is stored"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
