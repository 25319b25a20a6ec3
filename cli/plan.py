"""`learnalign plan`: hours, tokens, disk and memory of each stage before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learnalign.errors import InputError

from .common import ConfigFile, Json, Overrides, Trust, print_json, resolve_config
from .planning import print_ahead
from .remote import directory_of

if TYPE_CHECKING:
    from learnalign.rundir import RunDir

RunOf = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        help="Run directory whose measured rates, and without --config settings, count.",
        parser=directory_of,
        show_default=False,
    ),
]
Rows = Annotated[
    int | None,
    typer.Option("--rows", min=1, metavar="N", help="Plan for N rows; the pool is not read and need not be there."),
]
Gpus = Annotated[int, typer.Option("--gpus", min=1, metavar="K", help="GPUs that share rollout and grad.")]


def plan(
    directory: RunOf = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    rows: Rows = None,
    gpus: Gpus = 1,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Show hours, tokens, disk and memory of each stage before anything starts.

    Rates are those that a run has measured, else published ones, each with its source. Reads no weights, writes nothing.
    """
    from learnalign.ahead import plan_ahead
    from learnalign.config import load_config

    if directory is not None:
        settings = resolve_config(directory, config, overrides, trust)
    elif config is not None:
        settings = load_config(config, overrides or [])
    else:
        raise InputError("give --config FILE, or a run directory whose settings and measured rates count")
    run = _run(directory, config)
    planned = plan_ahead(settings, rows=rows, gpus=gpus, run=run)
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(planned), "config": settings.model_dump(mode="json"), "time": asdict(planned.time)})
    else:
        print_ahead(planned)


def _run(directory: Path | None, config: str | None) -> RunDir | None:
    """The run directory that is named, or whose config.yaml is."""
    from learnalign.rundir import RunDir

    if directory is not None:
        return RunDir.peek(directory)
    beside = Path(config or "")
    if beside.name == "config.yaml" and beside.with_name("run.json").is_file():
        return RunDir.peek(beside.parent)
    return None
