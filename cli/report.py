"""`learnalign report`: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Dir, Json, check_option, print_json, size_text
from .remote import local_directory

Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it here; DIR/report.html if not given.")
]
Compare = Annotated[
    Path | None,
    typer.Option("--compare", metavar="DIR2", help="Set a second run directory beside it.", parser=local_directory),
]


def report(directory: Dir, output: Output = None, compare: Compare = None, as_json: Json = False) -> None:
    """Write one self-contained HTML page: what was chosen and why, what to look at, every prompt.

    It opens without a network, and an unfinished run has one, too. --compare adds the prompts, choices and settings of
    another run.
    """
    from learnalign.outputs import is_stdout, refuse_foreign
    from learnalign.report import write_report
    from learnalign.rundir import RunDir
    from learnalign.summary import meta_of

    run = RunDir.peek(directory)
    check_option(output, as_json, [Path(run.config.data.path).expanduser()])
    if output is not None:
        refuse_foreign(output, lambda page: bool(meta_of(page)))
    path = write_report(run, output, None if compare is None else RunDir.peek(compare))
    if is_stdout(path):
        return
    size = path.stat().st_size
    if as_json:
        print_json({"run": str(directory), "report": str(path), "bytes": size})
    else:
        print(f"report: {path} ({size_text(size)})")
