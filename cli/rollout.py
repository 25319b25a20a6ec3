"""`learnalign rollout`: stage 3."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.errors import InputError, counted

from .common import Anyway, ConfigFile, Dir, DryRun, Json, Overrides, Overwrite, Slice, Trust, finish, open_run
from .planning import show_plan

if TYPE_CHECKING:
    from learnalign.rollouts import ImportResult, RolloutResult

FromFile = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Do not sample: read your own completions (or counts: correct, scored) by id or prompt from JSONL or Parquet.",
    ),
]
SHOWN = 5  # names in a line on stderr


def rollout(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    file: FromFile = None,
    anyway: Anyway = False,
    overwrite: Overwrite = False,
    slice: Slice = None,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Sample G completions of every prompt and score them: success rates and learnability."""
    if dry_run:
        return show_plan(directory, config, overrides, as_json, trust, anyway=anyway or file is not None, slice=slice)
    if slice and file:
        raise InputError("--slice is for sampling; --from reads the whole file at once: leave --slice away")
    with open_run(directory, config, overrides, overwrite, stage="rollout", trust=trust, slice=slice) as run:
        from learnalign.rollouts import import_rollouts
        from learnalign.rollouts import rollout as stage

        more: dict[str, Any]
        if file is None:
            result = stage(run, anyway)
            lines, more = [*_cautions(result), *_savings(result)], {"adaptive": result.adaptive}
        else:
            imported = import_rollouts(run, file)
            lines = [*_unused(imported, file), *_cautions(imported.rollouts)]
            more = {"imported": {"rows": imported.rows, "unmatched": imported.unmatched}}
    _warn(lines)
    return finish(run, as_json, **more)


def _warn(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _cautions(result: RolloutResult) -> list[str]:
    """Reasons to trust some success rates less than others."""
    from learnalign.rollouts.judging import in_words

    lines = []
    if fewer := result.fewer_scored:
        lines.append(
            f"{counted(len(fewer), 'prompt has', 'prompts have')} fewer scored rollouts than others: {_some(list(fewer))}"
        )
    if unscored := result.counts["unscored"]:
        lines.append(f"{counted(unscored, 'rollout')} could not be scored: {in_words(result.unscored)}")
    if cut := result.counts["cut_short"]:
        lines.append(f"{counted(cut, 'rollout')} ran into the model's context before rollout.max_completion_length")
    return lines


def _savings(result: RolloutResult) -> list[str]:
    """What `rollout.adaptive` saved and may have missed."""
    if not (report := result.adaptive):
        return []
    return [
        f"adaptive: {counted(report['stopped_early'], 'group')} stopped at half, "
        f"{counted(report['tokens_saved'], 'token')} saved; if full, "
        f"about {report['would_be_learnable']:.0f} of the {report['stopped_uniform']} all right or all wrong would have "
        f"V > 0, and about {report['would_reach_top']:.0f} stopped groups the V of the top N"
    ]


def _unused(imported: ImportResult, file: Path) -> list[str]:
    """Lines and prompts of the file that could not be used, or not fully."""
    from learnalign.inputs import is_parquet

    unit = "row" if is_parquet(file) else "line"
    lines = [f"{file}: {unit} {number}: {reason}" for number, reason in list(imported.unmatched.items())[:SHOWN]]
    if len(imported.unmatched) > SHOWN:
        more = counted(len(imported.unmatched) - SHOWN, f"more {unit} that matches", f"more {unit}s that match")
        lines.append(f"{file}: … and {more} no prompt of the pool")
    if imported.without_rollouts:
        without = counted(imported.without_rollouts, "prompt of the pool has", "prompts of the pool have")
        lines.append(f"{file}: {without} no rollouts in the file")
    if imported.retokenised:
        lines.append(
            f"{file}: {counted(imported.retokenised, 'completion')} without completion_ids: their tokens are those of the text"
        )
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
