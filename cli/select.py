"""`learnalign select`: stage 4, or any other method on the same run directory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learnalign.names import FORMATS, METHODS, lined

from .common import (
    ConfigFile,
    Dir,
    DryRun,
    Json,
    Overrides,
    Overwrite,
    Trust,
    as_size,
    check_option,
    finish,
    open_run,
    print_table,
    resolve_config,
    tables_beside,
)
from .planning import show_plan

if TYPE_CHECKING:
    from learnalign.selection import SelectResult

Size = Annotated[
    str | None,
    typer.Option("-n", "--size", metavar="N|0.F", help="Prompts to choose (an integer), or a fraction of the pool."),
]
Method = Annotated[
    str | None, typer.Option("--method", metavar="NAME", help=f"How to rank; default: learnalign.{lined(METHODS)}")
]
Format = Annotated[
    str | None, typer.Option("--format", metavar="NAME", help=f"Format of the subset file.{lined(FORMATS)}")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write a second copy of the subset; - is stdout.")
]
Scoring = Annotated[
    str | None,
    typer.Option("--scoring", metavar="WAY", help="auto, matrix or centroid: two exact ways to the same scores."),
]
Fill = Annotated[bool, typer.Option("--fill", help="If fewer than N scores are positive, go on down the ranking.")]
Diversity = Annotated[
    str | None, typer.Option("--diversity", metavar="kmeans:K", help="Take the best of each of K clusters.")
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="S",
        help="Seed of a method that draws, such as random; a choice by another than the run's has files of its own, -seedS.",
    ),
]
SaveMatrix = Annotated[bool, typer.Option("--save-matrix", help="Write S to scores/matrix.safetensors.")]
SaveNystrom = Annotated[
    int | None,
    typer.Option(
        "--save-nystrom",
        metavar="C",
        min=1,
        help="Write S by C landmarks (n·C numbers in place of n²) to scores/nystrom.safetensors, and measure its error.",
    ),
]


def select(
    directory: Dir,
    size: Size = None,
    method: Method = None,
    format: Format = None,
    output: Output = None,
    scoring: Scoring = None,
    fill: Fill = False,
    diversity: Diversity = None,
    seed: Seed = None,
    save_matrix: SaveMatrix = False,
    save_nystrom: SaveNystrom = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Rank the pool and write the best N prompts, best first."""
    count = as_size(size)
    if dry_run:
        from learnalign.rundir import label_of
        from learnalign.selection.clusters import parse_diversity

        label_of(resolve_config(directory, config, overrides, trust), method, parse_diversity(diversity), seed)
        own = {"size": count, "method": method, "format": format, "scoring": scoring, "seed": seed}
        chosen = [f"select.{key}={value}" for key, value in own.items() if value is not None]
        return show_plan(directory, config, [*(overrides or []), *chosen], as_json, trust, "select")
    check_option(output, as_json, [Path(config)] if config else [])
    with open_run(directory, config, overrides, overwrite, stage="select", trust=trust) as run:
        from learnalign import select as choose

        result = choose(
            run,
            count,
            method,
            format=format,
            scoring=scoring,  # type: ignore[arg-type]  # checked by select
            fill=fill,
            diversity=diversity,
            seed=seed,
            save_matrix=save_matrix,
            save_nystrom=save_nystrom,
            output=output,
        )
    from learnalign.rundir import in_place

    result = in_place(result)
    with tables_beside(output):
        finish(run, as_json, result.method, select=asdict(result))
        if not as_json:
            _show(result)
    return None


def _show(result: SelectResult) -> None:
    """Print the counts of the chosen and the skipped prompts."""
    rows = [["prompts in the pool", result.prompts]]
    rows += [[f"skipped: {reason}", count] for reason, count in result.skipped.items()]
    rows += [["could be chosen", result.eligible], ["chosen", result.chosen]]
    print_table(f"select: {result.method}" + (f" ({result.way})" if result.way else ""), ["", "prompts"], rows)
