"""`learnalign run`: the four stages in turn, each in a process of its own."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from learnalign.rundir import RunDir

NEXT = (
    ("show {}", "completions behind the success rates"),
    ("report {}", "one page to look at"),
    ("export {} --to trl", "the subset as a trainer takes it"),
)
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
        return show_plan(directory, config, overrides, as_json, trust, "select", anyway=anyway)
    if stages is not None:
        return run_rounds(directory, config, overrides, stages, overwrite, as_json, trust, anyway)
    with open_run(directory, config, overrides, overwrite, stage="pool", trust=trust) as opened:
        from learnalign.checks import check
        from learnalign.prompts import load_prompts

        prompts = load_prompts(opened)
        if todo := _unfinished(opened):  # all faults are told before anything heavy starts
            check(opened.config, COMMANDS, prompts, run=opened, anyway=anyway)
        opened.save_config()
        for command in todo:
            perform(command, opened, anyway=anyway and command in SAMPLING)
    finish(opened, as_json)
    if not as_json:
        _show_next(opened)
    return None


def _unfinished(run: RunDir) -> tuple[str, ...]:
    """The commands to perform: the first whose results are not all there and undamaged, and those after it."""
    from learnalign.selection import is_chosen

    for i, command in enumerate(COMMANDS):
        done = is_chosen(run) if command == "select" else run.is_finished(command, read=command != "warmup")
        if not done:
            return COMMANDS[i:]
    return ()


def _show_next(run: RunDir) -> None:
    directory = shlex.quote(str(run.path))
    print("next:")
    for command, what in NEXT:
        print(f"  learnalign {command.format(directory):<{len(directory) + 20}}  {what}")
