"""Run directories by URL: a command works in the local copy, which is mirrored to the URL."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from learnalign.errors import InputError
from learnalign.inputs import is_url

READING = ("plan", "show", "status", "verify")  # commands that change nothing, but for `status --repair`


class Url(str):
    """Where a remote run directory is."""


def directory_of(text: str) -> Path | Url:
    """The argument DIR: a path, or a URL, which `by_url` turns into the path of its local copy."""
    return Url(text) if is_url(text) else Path(text)


def local_directory(text: str) -> Path:
    """An option that takes a directory of this machine only."""
    if is_url(text):
        raise typer.BadParameter(f"{text}: give a directory on this machine; only DIR may be a URL")
    return Path(text)


def by_url(function: Callable[..., None]) -> Callable[..., None]:
    """The command with the local copy in place of a URL, which has what the command made in the end."""

    @functools.wraps(function)
    def command(*args: Any, **options: Any) -> None:
        key = next((key for key in ("directory", "source") if isinstance(options.get(key), Url)), None)
        if key is None:
            return function(*args, **options)
        from learnalign.rundir.remote import mirrored

        url = str(options[key])
        if options.get("slice"):
            raise InputError(
                f"--slice with {url}: one command at a time works in a run directory by URL; leave out --slice (executor.devices gives it "
                "several workers), or choose a directory that all machines share"
            )
        reading = bool(options.get("dry_run")) or (function.__name__ in READING and not options.get("repair"))
        with mirrored(url, reading=reading) as directory:
            function(*args, **{**options, key: directory})
        if not reading:
            print(f"learnalign: {url} is up to date; local copy: {directory}", file=sys.stderr)
        return None

    return command
