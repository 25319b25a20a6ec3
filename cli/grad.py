"""`learnalign grad`: stage 2."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .common import ConfigFile, Dir, DryRun, Json, Overrides, Overwrite, finish, open_run, print_table, show_plan

Verify = Annotated[
    int, typer.Option("--verify", min=0, metavar="K", help="Compare K prompts' features with their exact gradients.")
]


def grad(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    verify: Verify = 0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Compute each learnable prompt's projected GRPO gradient; samples missing rollouts first."""
    if dry_run:
        return show_plan(directory, config, overrides, as_json)
    run = open_run(directory, config, overrides, overwrite, stage="grad")
    from learnalign.gradients import grad as compute_gradients

    verification = compute_gradients(run, verify).verification
    measured = {} if verification is None else {"verification": asdict(verification)}
    finish(run, as_json, **measured)
    if verification is not None and not as_json:
        print_table(
            "features against exact gradients", ["", "value"], [list(row) for row in measured["verification"].items()]
        )
    return None
