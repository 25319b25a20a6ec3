"""`learnalign status`: what is done, what is left, what was left out and why; whether every file is as it was written."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learnalign.errors import InputError, counted

from .common import Dir, Json, finish, print_json

if TYPE_CHECKING:
    from learnalign.rundir.checking import Problem

Check = Annotated[bool, typer.Option("--check", help="Read every file and compare it with its digest.")]
Repair = Annotated[bool, typer.Option("--repair", help="Make missing and damaged files again, and only those.")]


def status(directory: Dir, check: Check = False, repair: Repair = False, as_json: Json = False) -> None:
    """Show what is done, what is left, what was left out and why.

    --check ends with exit code 1 if a file of the run directory, or of one inside it, is missing or damaged.
    """
    from learnalign.rundir import RunDir, no_run

    if not any((directory / name).is_file() for name in ("config.yaml", "run.json", "manifest.jsonl")):
        raise InputError(no_run(directory))
    if repair:
        from .repair import repair as make_again

        make_again(directory)
    if check or repair:
        _show(directory, as_json)
    else:
        finish(RunDir.peek(directory), as_json)
        _mention_unfinished(directory)


def _mention_unfinished(directory: Path) -> None:
    from learnalign.config import NEXT

    if (directory / NEXT).is_dir():
        print(
            f"learnalign: an unfinished --overwrite is in {directory / NEXT}; the same command goes on with it, another one "
            "begins anew, and the results here stay until one is done",
            file=sys.stderr,
        )


def _show(directory: Path, as_json: bool) -> None:
    from learnalign.errors import InputError
    from learnalign.rundir.checking import count_files, find_problems

    if not any((directory / name).is_file() for name in ("config.yaml", "run.json", "manifest.jsonl")):
        raise InputError(f"{directory} is not a run directory (no config.yaml in it)")
    problems = find_problems(directory)
    if as_json:
        print_json({"files": count_files(directory), "problems": [_row(problem) for problem in problems]})
    elif not problems:
        print(f"{directory}: {counted(count_files(directory), 'file is as it was', 'files are as they were')} written")
    for problem in problems:
        print(f"learnalign: {problem.path}: {problem.what}", file=sys.stderr)
    if problems:
        print(
            f"learnalign: `learnalign status {shlex.quote(str(directory))} --repair` makes just these again",
            file=sys.stderr,
        )
        raise SystemExit(1)


def _row(problem: Problem) -> dict[str, str | None]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(problem).items()}
