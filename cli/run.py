"""`learnalign run`: the four stages in turn, each in a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import (
    Anyway,
    ConfigFile,
    Dir,
    DryRun,
    Json,
    Overrides,
    Overwrite,
    Trust,
    finish,
    open_run,
    resolve_config,
    show_plan,
)
from .rounds import run_rounds, show_rounds
from .stepping import SAMPLING, perform

COMMANDS = ("warmup", "rollout", "grad", "select")

Stages = Annotated[
    str | None,
    typer.Option(
        "--stages", metavar="F,F,…", help="Select and train in rounds: fractions of the pool, e.g. 0.5,0.3,0.2."
    ),
]


def run(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    stages: Stages = None,
    anyway: Anyway = False,
    overwrite: Overwrite = False,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Turn a pool and a model into a subset: warmup, rollout, grad, select.

    Each stage is a process of its own, so that an engine's GPU memory is given back. Run the command again to resume.
    """
    if dry_run and stages is not None:
        return show_rounds(resolve_config(directory, config, overrides, trust), stages, as_json)
    if dry_run:
        return show_plan(directory, config, overrides, as_json, trust, "select")
    if stages is not None:
        return run_rounds(directory, config, overrides, stages, overwrite, as_json, trust, anyway)
    with open_run(directory, config, overrides, overwrite, stage="pool", trust=trust) as opened:
        from learnalign.checks import check
        from learnalign.golds import refuse_solutions
        from learnalign.prompts import load_prompts

        # Report all faults before anything heavy starts.
        prompts = load_prompts(opened)
        check(opened.config, COMMANDS, prompts, run=opened)
        if not (anyway or opened.is_finished("rollout")):
            refuse_solutions(opened.config, prompts)
        opened.save_config()
        for command in COMMANDS:
            perform(command, opened, anyway=anyway and command in SAMPLING)
    return finish(opened, as_json)
