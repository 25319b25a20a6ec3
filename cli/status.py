"""`learnalign status`: what is done, what is left, what was left out and why."""

from __future__ import annotations

from .common import Dir, Json, finish


def status(directory: Dir, as_json: Json = False) -> None:
    """Show what is done, what is left, what was left out and why."""
    from learnalign.rundir import RunDir

    finish(RunDir.peek(directory), as_json)
