"""Run directories by URL: a command works in the local copy, which is mirrored to the URL."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from learnalign.inputs import is_url

READING = ("show", "status", "verify")  # commands that change nothing, but for `status --repair`


class Url(str):
    """Where a remote run directory is."""


def directory_of(text: str) -> Path | Url:
    """The argument DIR: a path, or a URL, which `mirrored_here` turns into the path of its local copy."""
    return Url(text) if is_url(text) else Path(text)


def local_directory(text: str) -> Path:
    """An option that takes a directory of this machine only."""
    if is_url(text):
        raise typer.BadParameter(f"{text}: give a directory on this machine; only DIR may be a URL")
    return Path(text)


@contextlib.contextmanager
def mirrored_here(name: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The options of the command `name` with the local copy in place of a URL, which has what the command made in the end."""
    key = next((key for key in ("directory", "source") if isinstance(options.get(key), Url)), None)
    if key is None:
        yield options
        return
    from learnalign.rundir.remote import mirrored

    url = str(options[key])
    reading = bool(options.get("dry_run")) or (name in READING and not options.get("repair"))
    with mirrored(url, reading=reading) as directory:
        yield {**options, key: directory}
    if not reading:
        print(f"learnalign: {url} is up to date; local copy: {directory}", file=sys.stderr)
