"""`learnalign train`: GRPO on a subset."""

from __future__ import annotations

from typing import Annotated

import typer

from learnalign.names import CURRICULA, lined

from .common import ConfigFile, Dir, DryRun, Json, Overrides, Trust, print_json, print_table, resolve_config, use_run
from .planning import show_work

Subset = Annotated[
    str,
    typer.Option("--subset", metavar="FILE", help="Rows like the pool's, e.g. DIR/subset.jsonl.", show_default=False),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="Result directory: DIR/train/NAME; default: the file's (and curriculum's) name."
    ),
]
Curriculum = Annotated[
    str | None,
    typer.Option("--curriculum", metavar="NAME", help=f"How each step chooses its prompts.{lined(CURRICULA)}"),
]
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="MODEL", help="Model to train from: base, or policy (the warmed-up model)."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="S",
        help="Seed of prompts' order and sampling; another than the run's is in the default name.",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Train again; the new policy replaces the old once it is whole."),
]


def train(
    directory: Dir,
    subset: Subset,
    name: Name = None,
    curriculum: Curriculum = None,
    start: Start = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train with GRPO (or RLOO) on a subset, with the warmup's trainer; the policy is saved in DIR/train/NAME.

    --set changes the training only, e.g. --set train.steps=100; DIR/config.yaml stays as it is.
    """
    if dry_run:
        from learnalign.rundir import RunDir
        from learnalign.training import sub_config

        own = resolve_config(directory, config, None, trust)
        settings = sub_config(own, subset, curriculum, start, seed, overrides or [])
        show_work(settings, as_json, ["train"], run=RunDir(directory, settings))
        return
    run = use_run(directory, config, trust=trust)
    from learnalign.training import train as stage

    result = stage(
        run,
        subset,
        name,
        curriculum=curriculum,
        start=start,
        seed=seed,
        overrides=overrides or [],
        overwrite=overwrite,
    )
    if as_json:
        print_json(vars(result))
    else:
        left_out = ("name", "policies", "curriculum")
        facts = {key.replace("_", " "): value for key, value in vars(result).items() if key not in left_out}
        facts["kept after steps"] = ", ".join(map(str, result.policies))
        facts |= {f"curriculum: {key}": value for key, value in result.curriculum.items()}
        rows = [[key, value if isinstance(value, int | float) else str(value)] for key, value in facts.items()]
        print_table(f"train {result.name}", ["", ""], rows)
