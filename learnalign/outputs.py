"""Where `-o` writes: standard output, a device or pipe, or a file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO, cast

from learnalign.errors import InputError
from learnalign.rundir.files import atomic_path, disk_error, has_changed, is_own, remove_leftovers
from learnalign.rundir.stages import STAGES
from learnalign.stdout import descriptor

# What this program writes into a run directory: nothing else may be written there under these names.
_OWN = (
    *(
        "config.yaml",
        "run.json",
        "manifest*",
        ".*",
        "train",
        "eval",
        "work",
        "logs",
        "stage*",
        "targets",
        "export",
        "report*",
        "norms.*",
    ),
    *{output.partition("/")[0] for each in STAGES.values() for output in each.outputs},
)


def check_output(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse, before any work, what cannot or must not be written.

    Raises InputError if `path` is a directory, in a missing one, a run directory's own file, or one of `inputs` (or in
    one, if that is a directory).
    """
    if is_stdout(path):
        return
    try:
        place = path.resolve()
    except (OSError, RuntimeError):
        raise InputError(f"-o {path}: a symbolic link that leads round in a circle; give a file") from None
    if place.is_dir():
        raise InputError(f"-o {path} is a directory; give a file in it")
    if not place.parent.is_dir():
        raise InputError(f"-o {path}: there is no directory {place.parent}; make it first, or give another file")
    for directory in place.parents:
        if all((directory / name).is_file() for name in ("config.yaml", "run.json")):
            own = place.relative_to(directory).parts[0]
            if any(fnmatch(own, pattern) for pattern in _OWN):
                raise InputError(f"-o {path}: {own} is the run directory's own; give another file")
            break  # of run directories inside another one, the inner one's names count
    for source in inputs:
        if source.exists() and source.resolve() in (place, *place.parents):
            raise InputError(f"-o {path} is what this command reads ({source}); give another file")


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise InputError if `-o` would replace a file that this program did not write; an empty one is no loss."""
    if is_stdout(path) or is_stream(path):
        return
    place = path.resolve()
    known = place.is_file() and (place.stat().st_size == 0 or is_own(place) or has_changed(place) or is_ours(place))
    if place.exists() and not known:
        raise InputError(
            f"-o {path}: a file is there that learnalign did not write, or that was changed since; give another name, or delete it"
        )


def is_stdout(path: Path) -> bool:
    """Whether `path` is `-`, /dev/stdout, or the file or pipe behind standard output."""
    if str(path) in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):  # by name, as it may be set aside
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor()))
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing; a regular file, also behind a symbolic link, is replaced when all is written."""
    if is_stdout(path):
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif is_stream(path):
        try:
            with path.open("wb") as file:
                yield file
        except BrokenPipeError:
            raise
        except OSError as error:
            raise disk_error(path, error) from error
    else:
        remove_leftovers(path.resolve())
        with atomic_path(path.resolve()) as temporary, temporary.open("wb") as file:
            yield cast(BinaryIO, file)


def is_stream(path: Path) -> bool:
    """Whether `path` is written into, not replaced: a device, a pipe, or a descriptor (`-o >(command)`)."""
    descriptor = path.absolute().is_relative_to("/dev/fd") or path.absolute().is_relative_to("/proc")
    return descriptor or (path.exists() and not stat.S_ISREG(path.stat().st_mode))
