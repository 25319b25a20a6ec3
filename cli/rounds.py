"""`learnalign run --stages`: select, train, and select from the rest again (LearnAlign, App. K)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .common import print_json, print_table
from .stepping import perform

if TYPE_CHECKING:
    from learnalign.rundir import RunDir


def run_staged(run: RunDir, stages: str, as_json: bool) -> None:
    """Work through `stages`, fractions with commas between; print what every stage chose and where its policy is."""
    from learnalign.errors import InputError
    from learnalign.rounds import staged

    try:
        fractions = [float(part) for part in stages.split(",")]
    except ValueError:
        raise InputError(f"--stages {stages}: give fractions with commas between, such as 0.5,0.3,0.2") from None
    outcomes = staged(run, fractions, _perform)
    if as_json:
        print_json([vars(outcome) for outcome in outcomes])
        return
    rows = [[outcome.directory.name, outcome.prompts, outcome.chosen, str(outcome.policy)] for outcome in outcomes]
    print_table(str(run.path), ["stage", "prompts", "chosen", "policy"], rows)


def _perform(command: str, run: RunDir, **options: Any) -> None:
    perform(command, run.path, label=f"{run.path.name}: ", **options)
