"""`learnalign run --stages`: training in rounds (LearnAlign, App. K)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .common import print_json, print_table
from .stepping import perform

if TYPE_CHECKING:
    from learnalign.rundir import RunDir


def run_rounds(run: RunDir, stages: str, as_json: bool) -> None:
    """Train in rounds, one for each of the comma-separated fractions `stages`; print each one's subset and policy."""
    from learnalign.errors import InputError
    from learnalign.rounds import train_in_rounds

    try:
        fractions = [float(part) for part in stages.split(",")]
    except ValueError:
        raise InputError(f"--stages {stages}: give comma-separated fractions, such as 0.5,0.3,0.2") from None
    results = train_in_rounds(run, fractions, _perform)
    if as_json:
        print_json([vars(result) for result in results])
        return
    rows = [[result.directory.name, result.prompts, result.chosen, str(result.policy)] for result in results]
    print_table(str(run.path), ["round", "prompts", "chosen", "policy"], rows)


def _perform(command: str, run: RunDir, **options: Any) -> None:
    perform(command, run.path, label=f"{run.path.name}: ", **options)
