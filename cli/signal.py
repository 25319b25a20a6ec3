"""`learnalign signal`: per-prompt numbers for the methods that LearnAlign is compared with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from learnalign.names import SIGNALS, listed

from .common import ConfigFile, Dir, Json, Overrides, Overwrite, open_run, print_json, print_table

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help=f"One or several of {listed(SIGNALS)}.",
        show_default=False,
    ),
]


def signal(
    directory: Dir,
    names: Names,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compute signals of every prompt under the policy, into DIR/signals/NAME.parquet.

    Likelihoods are those of the gold solution (data.solution), or of the first stored rollout if a prompt has none.
    """
    run = open_run(directory, config, overrides, overwrite, stage="signal")
    from learnalign.signals import signal as compute

    results = compute(run, names)
    if as_json:
        print_json({"run": str(run.path), "signals": [asdict(result) for result in results]})
        return
    rows = [[one.name, one.values, _counts(one.skipped), _counts(one.over), str(one.path)] for one in results]
    print_table("signals", ["signal", "values", "without one", "taken over", "file"], rows)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "–"
