"""`--overwrite`: new results are made in DIR/.next, beside the old ones, and take their place when they are whole.

DIR/.next is a run directory of its own: what stays of DIR is linked into it, what is replaced is not. A command that
fails or is killed leaves DIR as it was, and the same command goes on in DIR/.next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from learnalign.config import NEXT
from learnalign.rundir import files
from learnalign.rundir.lock import OWN as LOCKS
from learnalign.rundir.lock import InUse, Lock
from learnalign.rundir.manifest import NAME as MANIFEST
from learnalign.rundir.manifest import Files, manifest_of, write_manifest
from learnalign.rundir.spent import NAME as SPENT
from learnalign.rundir.stages import REFERENCE, stage_of

PLAN = "replaces.json"
OWN = ("config.yaml", "run.json", ".run.json", "quarantine.jsonl")  # made anew from the old ones
T = TypeVar("T")
_NOT_LINKED = {*OWN, *LOCKS, MANIFEST, SPENT, PLAN, NEXT, "work"}


def begin(root: Path, request: dict[str, Any], replaced: Collection[Path], fill: Callable[[], None]) -> None:
    """Make DIR/.next with links to all of `root` that is not `replaced`, and have `fill` write what else it begins with.

    One that the same `request` began is kept, unless what it is linked to has changed since.
    """
    folder = root / NEXT
    away = {str(path.relative_to(root)) for path in replaced}
    manifest = manifest_of(root / MANIFEST)
    stored = manifest.paths() if manifest else {}
    kept = {path: each for path, each in stored.items() if path not in OWN and not _in(path, away)}
    # Written in DIR meanwhile, as their own manifest says.
    kept = {path: each for path, each in kept.items() if stage_of(path) != REFERENCE}
    plan = {"request": request, "removed": sorted(away), "kept": {path: _as_json(each) for path, each in kept.items()}}
    if (folder / PLAN).is_file() and files.read_json(folder / PLAN) == plan:
        return
    discard(root)
    folder.mkdir()
    (folder / ".lock").touch()
    write_manifest(folder, kept, manifest.name if manifest else None)
    for path in root.iterdir():
        if path.name not in _NOT_LINKED | away and not path.name.endswith(".tmp"):
            (folder / path.name).symlink_to(Path("..") / path.name)
    fill()
    files.write_json(folder / PLAN, plan)  # last: one without a plan is begun again


def made(root: Path) -> list[str]:
    """What has been made in DIR/.next so far, by name."""
    names = (path.name for path in (root / NEXT).iterdir() if not path.is_symlink())
    return sorted(name for name in names if name not in _NOT_LINKED - {*OWN} and not name.endswith(".tmp"))


def discard(root: Path) -> None:
    """Delete DIR/.next."""
    with contextlib.suppress(FileNotFoundError):
        gone = root / f"{NEXT}.tmp"
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(root / NEXT, gone)  # never half-deleted under its name
        shutil.rmtree(gone, ignore_errors=True)


def end(root: Path) -> None:
    """Put all that DIR/.next holds in the place of the old results; a killed one is ended by the next command."""
    plan = files.read_json(root / NEXT / PLAN)
    files.write_json(root / NEXT / PLAN, {**plan, "made": made(root)})
    _replace(root)


def end_interrupted(root: Path) -> None:
    """End what `end` began in a process that was killed."""
    if _is_ready(root):
        with contextlib.suppress(InUse), Lock(root):  # a command that has the lock ends it itself
            if _is_ready(root):
                _replace(root)


def _is_ready(root: Path) -> bool:
    plan = root / NEXT / PLAN
    return plan.is_file() and "made" in files.read_json(plan)


def in_place(result: T) -> T:
    """A stage's result with every path in DIR/.next as it is now that this is in its place."""
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}  # type: ignore[arg-type]
    paths = {name: value for name, value in fields.items() if isinstance(value, Path)}
    final = {name: Path(*[part for part in path.parts if part != NEXT]) for name, path in paths.items()}
    return dataclasses.replace(result, **final)  # type: ignore[type-var]


def _replace(root: Path) -> None:
    """Rename the new results, drop the old ones that have no successor, join the manifests; may be repeated."""
    folder = root / NEXT
    plan = files.read_json(folder / PLAN)
    new, removed = set(plan["made"]), set(plan["removed"])
    for name in sorted(new):
        if os.path.lexists(folder / name):
            files.put(folder / name, root / name)
    for name in removed - new:
        files.delete(root / name)
    old, next = manifest_of(root / MANIFEST), manifest_of(folder / MANIFEST)
    assert next is not None, "a run directory that is made anew has a manifest"
    stays = {path: each for path, each in (old.paths() if old else {}).items() if not _in(path, new | removed)}
    write_manifest(root, {path: each for path, each in next.paths().items() if path != PLAN} | stays, next.name)
    discard(root)


def _in(path: str, places: Collection[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _as_json(each: Files) -> dict[str, list[Any]]:
    return {name: [size, digest] for name, (size, digest) in each.items()}
