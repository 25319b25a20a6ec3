"""The time that a stage has taken until now, in a file of its own while it works: a command that is killed leaves it there."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from learnalign.rundir.machine import Moment, this_moment
from learnalign.rundir.rates import worker_seconds

NAME = ".spent.json"
EVERY = 10.0  # seconds between two looks at the clock: so much a kill loses at most


@contextlib.contextmanager
def kept(folder: Path, entry: Mapping[str, Any], started: Moment) -> Iterator[None]:
    """Keep the time of a stage's `entry`, which works since `started`, in `folder` while the block runs."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(EVERY):
            with contextlib.suppress(OSError):  # a full disk, which the stage itself will meet
                _write(folder / NAME, {**entry, **add(entry, started, this_moment())})

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        (folder / NAME).unlink(missing_ok=True)


def add(entry: Mapping[str, Any], started: Moment, ended: Moment) -> dict[str, Any]:
    """`seconds` and `cpu_seconds` of an entry with those between two moments; a CPU time that is not known stays so."""
    cpu = entry["cpu_seconds"]
    return {
        "seconds": round(entry["seconds"] + ended.clock - started.clock, 3),
        "cpu_seconds": cpu if cpu is None else round(cpu + max(0.0, ended.cpu - started.cpu), 3),
    }


def recovered(folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with the time of a command that was killed at the same work."""
    try:
        left = json.loads((folder / NAME).read_text(encoding="utf-8"))
        same = all(left[key] == entry.get(key) for key in ("fingerprint", "started"))
        longer = same and left["seconds"] > entry["seconds"]
        if not longer:
            return entry
        lost = (left["seconds"] - entry["seconds"]) * entry.get("workers", 1)
        own = {key: left[key] for key in ("seconds", "cpu_seconds")}
        return entry | own | {"worker_seconds": round(worker_seconds(entry) + lost, 3)}
    except (OSError, ValueError, LookupError, TypeError):  # none is there, or it was written by halves
        return entry


def _write(path: Path, entry: Mapping[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(
        json.dumps({key: entry.get(key) for key in ("fingerprint", "started", "seconds", "cpu_seconds")})
    )
    os.replace(temporary, path)
