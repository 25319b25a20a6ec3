"""`learnalign run`: the four stages in turn, each in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .common import Anyway, ConfigFile, Dir, DryRun, Json, Overrides, Overwrite, Trust, finish, open_run, resolve_config
from .planning import show_plan
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
        return show_rounds(resolve_config(directory, config, overrides, trust), stages, as_json, anyway)
    if dry_run:
        return show_plan(directory, config, overrides, as_json, trust, "select", anyway=anyway)
    if stages is not None:
        return run_rounds(directory, config, overrides, stages, overwrite, as_json, trust, anyway)
    with open_run(directory, config, overrides, overwrite, stage="pool", trust=trust) as opened:
        from learnalign.checks import check
        from learnalign.prompts import load_prompts

        prompts = load_prompts(opened)
        if todo := _unfinished(opened, keep=not _names_choice(overrides)):
            check(opened.config, COMMANDS, prompts, run=opened, anyway=anyway)  # before anything heavy starts
        opened.save_config()
        kept = _choice_by_options(opened, chosen_again="select" in todo)
        for command in todo:
            perform(command, opened, anyway=anyway and command in SAMPLING)
    finish(opened, as_json)
    if not as_json:
        print(kept, end="")
        _show_next(opened)
    return None


def _names_choice(overrides: Sequence[str] | None) -> bool:
    """Whether the command names a setting of `select`, by which it is to choose then."""
    return any(each.strip().startswith("select.") for each in overrides or ())


def _choice_by_options(run: RunDir, chosen_again: bool) -> str:
    """A line for the end if the subset is what options of `select` chose; if it is now chosen again, that is said at once."""
    from learnalign.selection import options_of

    if not (options := options_of(run)):
        return ""
    settings, directory = run.config.select, run.quoted
    by, command = f"by the settings (select.size {settings.size:g})", f"learnalign select {directory}"
    if not chosen_again:
        return f"the subset is kept as `{command} {options}` chose it; `{command}` chooses {by}\n"
    print(
        f"learnalign: `select {options}` chose the subset before, now {by}; `{command} {options}` does it again",
        file=sys.stderr,
    )
    return ""


def _unfinished(run: RunDir, keep: bool) -> tuple[str, ...]:
    """The commands to perform: the first whose results are not all there and undamaged, and those after it.

    `keep`: a choice by options of `select` is one.
    """
    from learnalign.selection import is_chosen

    for i, command in enumerate(COMMANDS):
        done = (
            is_chosen(run, by_options=keep)
            if command == "select"
            else run.is_finished(command, read=command != "warmup")
        )
        if not done:
            return COMMANDS[i:]
    return ()


def _show_next(run: RunDir) -> None:
    directory = run.quoted
    print("next:")
    for command, what in NEXT:
        print(f"  learnalign {command.format(directory):<{len(directory) + 20}}  {what}")
