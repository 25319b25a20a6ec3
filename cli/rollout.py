"""`learnalign rollout`: stage 3."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import ConfigFile, Dir, DryRun, Json, Overrides, Overwrite, finish, open_run, show_plan

if TYPE_CHECKING:
    from learnalign.rollouts import ImportResult

FromFile = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="JSONL of your own completions (or counts: correct, scored) by id or prompt, in place of sampling.",
    ),
]
SHOWN = 5  # rows of a file that fit no prompt, named on stderr


def rollout(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    file: FromFile = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Sample G completions of every prompt and score them: success rates and learnability."""
    if dry_run:
        return show_plan(directory, config, overrides, as_json)
    run = open_run(directory, config, overrides, overwrite, stage="rollout")
    from learnalign.rollouts import import_rollouts
    from learnalign.rollouts import rollout as stage

    if file is None:
        stage(run)
        return finish(run, as_json)
    return finish(run, as_json, imported=_told(import_rollouts(run, file), file))


def _told(result: ImportResult, file: Path) -> dict[str, Any]:
    """Say on stderr what of `file` could not be used; the same for --json."""
    lines = [f"line {number}: {reason}" for number, reason in list(result.unmatched.items())[:SHOWN]]
    if len(result.unmatched) > SHOWN:
        lines.append(f"… and {len(result.unmatched) - SHOWN} more lines that fit no prompt of the pool")
    if result.without_rollouts:
        lines.append(f"{result.without_rollouts} prompts of the pool have no rollouts in it")
    if fewer := result.rollouts.fewer_scored:
        lines.append(f"{len(fewer)} prompts have fewer scored rollouts than others: {', '.join(list(fewer)[:SHOWN])} …")
    if result.retokenised:
        lines.append(f"{result.retokenised} completions without completion_ids: their tokens are those of the text")
    for line in lines:
        print(f"{file}: {line}", file=sys.stderr)
    return {"rows": result.rows, "unmatched": {str(number): why for number, why in result.unmatched.items()}}
