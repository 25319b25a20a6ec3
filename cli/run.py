"""`learnalign run`: the four stages in turn, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from .common import ConfigFile, Dir, DryRun, Json, Overrides, Overwrite, finish, open_run, show_plan

STAGES = ("warmup", "rollout", "grad", "select")


def run(
    directory: Dir,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Turn a pool and a model into a subset: warmup, rollout, grad, select.

    Each stage is a process of its own, so that an engine's GPU memory is given back. Run it again to resume.
    """
    if dry_run:
        return show_plan(directory, config, overrides, as_json)
    opened = open_run(directory, config, overrides, overwrite, stage="pool")
    for stage in STAGES:
        print(f"learnalign: {stage}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "learnalign_cli", stage, str(directory), "--json"]
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if code:
            raise SystemExit(code if code > 0 else 1)
    finish(opened, as_json)
    return None
