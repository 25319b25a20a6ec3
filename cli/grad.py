"""`learnalign grad`: stage 2."""

from __future__ import annotations

from .common import ConfigFile, Dir, DryRun, Json, Overrides, Overwrite, finish, open_run, show_plan


def grad(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Compute each learnable prompt's projected GRPO gradient; draws rollouts first where there are none."""
    if dry_run:
        return show_plan(directory, config, overrides, as_json)
    run = open_run(directory, config, overrides, overwrite, stage="grad")
    from learnalign.gradients import grad as compute_gradients

    compute_gradients(run)
    return finish(run, as_json)
