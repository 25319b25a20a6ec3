"""`learnalign signal`: per-prompt numbers for the methods that LearnAlign is compared with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from learnalign.names import SIGNALS, lined

from .common import ConfigFile, Dir, Json, Overrides, Slice, Trust, open_run, print_json, print_table

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help=f"One or several.{lined(SIGNALS)}",
        show_default=False,
    ),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy", metavar="MODEL", help="Model that values are of: policy, base, train/NAME, or a model directory."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace results of other settings, and these signals, once the new ones are whole."
    ),
]


def signal(
    directory: Dir,
    names: Names,
    policy: Policy = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    slice: Slice = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Compute signals of every prompt under the policy (or another model), into DIR/signals/NAME.parquet.

    Likelihoods are those of the gold solution (data.solution), or of the first stored rollout if a prompt has none.
    """
    with open_run(directory, config, overrides, overwrite, trust=trust, slice=slice) as run:
        from learnalign.rundir import in_place
        from learnalign.signals import signal as compute

        results = [in_place(result) for result in compute(run, names, policy, overwrite=overwrite)]
    if as_json:
        print_json({"run": str(run.path), "signals": [asdict(result) for result in results]})
        return
    rows = [
        [one.name, one.values, _counts(one.skipped), _counts(one.over), one.policy, str(one.path)] for one in results
    ]
    print_table("signals", ["signal", "values", "without one", "taken over", "model", "file"], rows)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "–"
