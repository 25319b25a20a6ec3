"""`learnalign warmup`: stage 1."""

from __future__ import annotations

from .common import Anyway, ConfigFile, Dir, DryRun, Json, Overrides, Overwrite, Trust, finish, open_run
from .planning import show_plan


def warmup(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    anyway: Anyway = False,
    overwrite: Overwrite = False,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train the policy briefly with GRPO on a random subset of the pool."""
    if dry_run:
        return show_plan(directory, config, overrides, as_json, trust, anyway=anyway)
    with open_run(directory, config, overrides, overwrite, stage="warmup", trust=trust) as run:
        from learnalign import warmup as stage

        stage(run, anyway)
    return finish(run, as_json)
