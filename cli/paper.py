"""`learnalign paper`: a table of the papers, run and printed beside theirs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.errors import InputError, RunError, counted
from learnalign.names import SCALES, check_name, lined

from .common import DryRun, Json, print_json, print_table
from .paper_tables import show_table
from .remote import local_directory

if TYPE_CHECKING:
    from learnalign.papers.cells import Cell
    from learnalign.papers.table import Table

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="TABLE", help="A ready table, or a YAML file of that form; none: lists them.", show_default=False
    ),
]
Scale = Annotated[str, typer.Option("--scale", metavar="NAME", help=f"On what it is run.{lined(SCALES)}")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Where everything is kept; default: runs/paper/TABLE-SCALE.",
        parser=local_directory,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, metavar="K", help="Cells at a time; default: 1 on a GPU, else one a core."),
]
Show = Annotated[bool, typer.Option("--show", help="Print what is there; run nothing.")]


def paper(
    name: Name = None,
    scale: Scale = "full",
    directory: Folder = None,
    jobs: Jobs = None,
    show: Show = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a table or figure of the papers: choose, train and evaluate every cell, and print the paper's numbers beside ours.

    Every cell is kept once it is finished; the same command goes on where it ended.
    """
    from learnalign.papers.cells import cells_of
    from learnalign.papers.loading import load_table, tables

    check_name("--scale", scale, SCALES)
    if name is None:
        rows = [[name, load_table(name).title] for name in tables()]
        print_table("tables and figures", ["name", "what it shows"], rows)
        return
    table = load_table(name, scale)
    cells = cells_of(table)
    if dry_run:
        _show_hours(table, cells, scale, as_json)
        return
    from learnalign.papers.contrasts import contrasts
    from learnalign.papers.measures import entries
    from learnalign.papers.results import Results

    directory = directory or Path("runs") / "paper" / f"{Path(name).stem}-{scale}"
    if directory.exists() and not directory.is_dir():
        raise InputError(f"--dir {directory}: this is a file; give a directory, which need not be there yet")
    results = Results(directory)
    results.check(cells)
    if others := results.others(cells):
        _say(f"{results.file} also has {counted(others, 'cell')} that this table does not have; they stay")
    failed: dict[str, str] = {}
    if not show:
        from learnalign.papers.planning import hours_of
        from learnalign.papers.runner import run_cells

        # Finds faults of tests and settings before anything starts.
        hours_of(table, [cell for cell in cells if results.of(cell) is None])
        failed = run_cells(directory, cells, results, jobs or _jobs(), _say)
    found = entries(table, cells, results)
    compared = contrasts(table, found)
    missing = sum(results.of(cell) is None for cell in cells)
    if as_json:
        listed = [asdict(each) | {"mean": each.mean, "standard_error": each.standard_error} for each in found]
        print_json({"table": name, "scale": scale, "entries": listed, "contrasts": [asdict(each) for each in compared]})
    else:
        from learnalign.report import write_paper_page

        show_table(table, found, compared)
        if missing < len(cells):
            print(f"page: {write_paper_page(directory / 'report.html', table, cells, results, found, compared)}")
        print(f"{counted(len(cells) - missing, 'cell')} of {len(cells)} in {results.file}")
    if failed:
        hint = "; --scale tiny runs the table on the embedded model" if scale == "full" else ""
        raise RunError(
            f"{counted(len(failed), 'cell')} failed, first {next(iter(failed))}: {next(iter(failed.values()))}; the same command tries "
            f"again; logs are in {directory / 'logs'}{hint}"
        )


def _say(line: str) -> None:
    print(f"learnalign: {line}", file=sys.stderr, flush=True)


def _jobs() -> int:
    import torch

    return 1 if torch.cuda.is_available() else os.cpu_count() or 1


def _show_hours(table: Table, cells: Sequence[Cell], scale: str, as_json: bool) -> None:
    from learnalign.papers.planning import hours_of

    hours = hours_of(table, cells)
    if as_json:
        print_json({"cells": len(cells), "hours": [asdict(each) for each in hours]})
        return
    rows: list[list[Any]] = [
        [each.panel, each.stage, each.times, each.tokens, f"{each.low:,.1f} to {each.high:,.1f}"] for each in hours
    ]
    low, high = sum(each.low for each in hours), sum(each.high for each in hours)
    rows.append(
        ["all", "", sum(each.times for each in hours), sum(each.tokens for each in hours), f"{low:,.1f} to {high:,.1f}"]
    )
    columns = ["panel", "stage", "times", "tokens at most", f"hours of one {hours[0].device}"]
    print_table(f"{table.title}: {counted(len(cells), 'cell')} at scale {scale}", columns, rows)
    print("hours are rough: from the model's size and half of the longest completions; nothing was read or written")
