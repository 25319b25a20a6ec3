"""`learnalign grad`: stage 2."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.errors import counted

from .common import (
    Anyway,
    ConfigFile,
    Dir,
    DryRun,
    Json,
    Overrides,
    Overwrite,
    Slice,
    Trust,
    finish,
    open_run,
    print_table,
)
from .planning import show_plan

if TYPE_CHECKING:
    from learnalign.gradients import Verification

Verify = Annotated[
    int,
    typer.Option(
        "--verify", min=0, metavar="K", help="Compare K prompts' features with exact gradients of all parameters."
    ),
]


def grad(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    verify: Verify = 0,
    anyway: Anyway = False,
    overwrite: Overwrite = False,
    slice: Slice = None,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Compute each learnable prompt's projected GRPO gradient; samples missing rollouts first."""
    if dry_run:
        return show_plan(directory, config, overrides, as_json, trust, anyway=anyway, slice=slice)
    with open_run(directory, config, overrides, overwrite, stage="grad", trust=trust, slice=slice) as run:
        from learnalign.gradients import grad as compute_gradients

        verification = compute_gradients(run, verify, anyway).verification
    measured: dict[str, Any] = {} if verification is None else {"verification": asdict(verification)}
    finish(run, as_json, **measured)
    if verification is not None and not as_json:
        show_verification(verification)
    return None


def show_verification(verification: Verification) -> None:
    """The features' errors, and if they leave parameters out, what that costs and what the projection alone costs."""
    compared = {"features": verification.features}
    if verification.without_projection.cosine_error > 0:
        compared[f"exact {verification.modules}"] = verification.without_projection
        compared[f"features against exact {verification.modules}"] = verification.projection_alone
    columns = [asdict(agreement) for agreement in compared.values()]
    rows = [[name.replace("_", " "), *(column[name] for column in columns)] for name in columns[0]]
    exact = verification.modules if verification.not_compared else "all parameters"
    print_table(f"{counted(verification.prompts, 'prompt')} against exact gradients of {exact}", ["", *compared], rows)
    if verification.not_compared:
        typer.echo(f"learnalign: not compared with all parameters: {verification.not_compared}", err=True)
