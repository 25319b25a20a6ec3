"""The content of files, compared with what was written; and the errors for what is missing or damaged, with the way out."""

from __future__ import annotations

import mmap
import os
from io import FileIO
from pathlib import Path

import xxhash

from learnalign.errors import RunError
from learnalign.rundir.files.whole import is_temporary
from learnalign.rundir.labels import Label
from learnalign.rundir.manifest import digest_file, manifest_of
from learnalign.rundir.stages import command_of


def damaged(path: Path, reason: str = "its content is not what was written") -> RunError:
    """The error for a file that cannot be used as it is, with the way out."""
    manifest = manifest_of(path)
    if manifest is None:
        return RunError(f"{path} is damaged ({reason}); delete it and run the command that made it again")
    if manifest.is_torn():  # a killed command leaves it so too, but then the file is as one of its lines says
        reason += f", as far as {manifest.file} tells, whose end is cut off"
    return RunError(
        f"{path} is damaged ({reason}); make it again with `learnalign status {manifest.root} --repair`, or put it back"
    )


def missing(path: Path) -> RunError:
    """The error for a file that should be there, with the command that makes it."""
    manifest = manifest_of(path)
    root = path.parent if manifest is None else manifest.root
    command = command_of(os.path.relpath(os.path.abspath(path), root)) if manifest else None
    named = {"scores": f" {Label.parse(path.stem).typed()}", "signals": f" {path.stem}"}
    made = (
        f"`learnalign {command} {root}{named.get(path.parent.name, '')}` makes it"
        if command
        else f"`learnalign status {root} --repair` may make it"
    )
    return RunError(f"{path} is missing; {made} again")


def verified(path: Path) -> bytearray:
    """The content of a file; raises RunError if it is missing, or is in a run directory and not what was written there."""
    content = content_of(path)
    while True:
        try:
            is_listed(path, content)
            return content
        except RunError:
            before, content = content, content_of(path)
            if content == before:  # else another process has replaced it meanwhile
                raise


def content_of(path: Path) -> bytearray:
    """The content of a file, as it is; raises RunError if it is missing."""
    with opened(path) as file:
        content = bytearray(os.fstat(file.fileno()).st_size)
        _fill(memoryview(content), file)
    return content


class Buffer:
    """Memory that is used again for one file after another: to take it anew costs as much time as to read into it.

    It begins with a page: some processors copy five times as slowly to memory that begins a few bytes behind a page's begin.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def read(self, path: Path, start: int = 0, size: int | None = None) -> memoryview:
        """The content of a file, or `size` bytes of it from byte `start` on, fewer if it ends before; valid until the next call.

        Raises RunError if the file is missing.
        """
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size if size is None else size
            if len(self._memory) < size:
                self._memory = mmap.mmap(-1, size + size // 4)  # views given out keep the memory before
            file.seek(start)
            view = memoryview(self._memory)[:size]
            return view[: _fill(view, file)]


def _fill(view: memoryview, file: FileIO) -> int:
    """Read as many bytes as `view` has; how many there were."""
    start = 0
    while start < len(view) and (count := file.readinto(view[start:])):
        start += count
    return start


def opened(path: Path) -> FileIO:
    """A file, to be read in bytes; raises RunError if it is missing."""
    try:
        return open(path, "rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise missing(path) from None


def is_listed(path: Path, content: bytearray | memoryview) -> bool:
    """Whether a file is in a run directory's manifest; raises RunError if its `content` is not what was written there."""
    manifest = None if is_temporary(path) else manifest_of(path)
    expected = manifest.expected(path) if manifest else []  # of a file that the user has put there nothing is known
    if expected and (len(content), xxhash.xxh3_128_hexdigest(content)) not in expected:
        raise damaged(path)
    return bool(expected)


def has_changed(path: Path) -> bool:
    """Whether a file was written by this program into a run directory, and has other content now."""
    manifest = manifest_of(path)
    expected = manifest.expected(path) if manifest else []
    return bool(expected) and digest_file(path) not in expected


def has_been_written(path: Path) -> bool:
    """Whether this program wrote the file into a run directory, there or not."""
    manifest = manifest_of(path)
    return manifest is not None and bool(manifest.expected(path))


def is_own(path: Path) -> bool:
    """Whether a file was written by this program into a run directory, and has that content still."""
    manifest = manifest_of(path)
    return manifest is not None and digest_file(path) in manifest.expected(path)


def is_intact(path: Path) -> bool:
    """Whether a file is there and what was written."""
    try:
        verified(path)
    except RunError:
        return False
    return True


def check_whole(path: Path) -> None:
    """Raise RunError if a directory that was written as a whole, such as a policy, is not what was written."""
    manifest = manifest_of(path / "file")
    if manifest is None or manifest.root == Path(os.path.abspath(path)):
        return
    name = os.path.relpath(os.path.abspath(path), manifest.root)
    stored = manifest.within(name)
    if not manifest.checked.issuperset(stored):
        for file, what in [problem for own in stored for problem in manifest.damage(own).items()]:
            raise missing(manifest.root / file) if what == "missing" else damaged(manifest.root / file)
        manifest.checked |= set(stored)
