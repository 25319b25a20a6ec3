"""`learnalign export`: a subset in a trainer's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learnalign.errors import counted
from learnalign.names import FORMATS, lined

from .common import Dir, Json, check_option, print_json, resolve_config, tables_beside

To = Annotated[
    str,
    typer.Option("--to", metavar="NAME", help=f"The trainer, or its format.{lined(FORMATS)}", show_default=False),
]
Method = Annotated[
    str | None, typer.Option("--method", metavar="NAME", help="Whose subset; by default that of select.method.")
]
DataSource = Annotated[
    str | None,
    typer.Option("--data-source", metavar="NAME", help="Name of the data set in each row, by which trainers score."),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write here, not to DIR/export; - is stdout."),
]


def export(
    directory: Dir,
    to: To,
    method: Method = None,
    data_source: DataSource = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Write the chosen prompts, as they were scored, in the format of a trainer; DIR/subset.jsonl stays as it is."""
    check_option(output, as_json)
    resolve_config(directory, None, None)
    from learnalign.handoff import export as write
    from learnalign.rundir import RunDir

    result = write(RunDir.open(directory), to, method=method, data_source=data_source, output=output)
    with tables_beside(output):
        if as_json:
            print_json(vars(result))
        else:
            print(f"{counted(result.prompts, 'prompt')} chosen by {result.method}, for {result.name}: {result.file}")
            for note in result.notes:
                print(note)
