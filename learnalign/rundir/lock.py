"""The lock that keeps two commands out of one run directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from learnalign.errors import RunError
from learnalign.rundir.files import disk_error


class InUse(RunError):
    """Another command has the lock."""


# names the lock that a command was handed by the command that started it: "descriptor inode"
HANDED = "LEARNALIGN_LOCK"
LOCK = ".lock"  # of the run directory
RECORDS_LOCK = ".records.lock"  # of what several commands write in turn that share the run directory
CLAIMS = ".claims"  # of which each byte is a shard of a stage
OWN = (LOCK, RECORDS_LOCK, CLAIMS)
_STAGE = 1 << 32  # bytes of CLAIMS for the shards of a stage


class Lock:
    """Holds DIR/.lock while the block runs; blocks of one process may be nested. The kernel frees it with the process.

    A command that runs others hands them its lock (`handed`), so that nobody comes in between.

    Args:
        shared: others that share it may come in, too.
        waits: for as long as another process has it, rather than raise InUse.
    """

    def __init__(self, directory: Path, name: str = LOCK, *, shared: bool = False, waits: bool = False) -> None:
        self._directory, self._name = directory, name
        self._operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB)
        self._depth = 0
        self._descriptor = -1

    def __enter__(self) -> Self:
        if self._depth == 0:
            self._descriptor = self._acquire()
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            os.close(self._descriptor)

    def handed(self) -> tuple[dict[str, str], tuple[int, ...]]:
        """Variables and descriptors with which a started command has this lock; none if it is not held."""
        if not self._depth:
            return {}, ()
        return {HANDED: f"{self._descriptor} {os.fstat(self._descriptor).st_ino}"}, (self._descriptor,)

    def _acquire(self) -> int:
        """The locked file; raises RunError if another command holds it or the directory cannot be written."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._directory / self._name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise disk_error(self._directory, error) from error
        if (handed := _handed(descriptor)) is not None:
            os.close(descriptor)
            return handed
        try:
            fcntl.flock(descriptor, self._operation)
        except BlockingIOError:
            os.close(descriptor)
            raise InUse(f"{self._directory} is in use by another learnalign command; wait for it to end") from None
        except OSError as error:
            os.close(descriptor)
            raise _cannot_lock(self._directory, error) from error
        return descriptor


def _cannot_lock(directory: Path, error: OSError) -> Exception:
    """What to say of it: that the file system is lost or full, or else has no locks."""
    known = disk_error(directory, error)
    return (
        RunError(
            f"{directory}: its file system cannot lock files ({error.strerror}), so that two commands might write at once; "
            "choose a run directory on another one, or have it mounted with locks"
        )
        if known is error
        else known
    )


def _handed(descriptor: int) -> int | None:
    """A copy of the descriptor that this process was handed, if it is of the same file."""
    number, _, inode = os.environ.get(HANDED, "").partition(" ")
    if inode != str(os.fstat(descriptor).st_ino):
        return None
    try:
        same = os.fstat(int(number)).st_ino == int(inode)
    except (OSError, ValueError):
        return None
    if not same:
        return None
    os.set_inheritable(int(number), False)  # no process of this command's own is to keep the lock
    return os.dup(int(number))


class Claims:
    """Shards of a stage that this process works on, so that no other one does. The kernel frees them with the process."""

    def __init__(self, directory: Path, stage: int) -> None:
        try:
            self._descriptor = os.open(directory / CLAIMS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise disk_error(directory, error) from error
        self._directory, self._stage = directory, stage

    def take(self, shard: int) -> bool:
        """Whether the shard is free, and this process's from now on."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._stage * _STAGE + shard)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            raise _cannot_lock(self._directory, error) from error
        return True

    def close(self) -> None:
        """Free them all."""
        os.close(self._descriptor)
