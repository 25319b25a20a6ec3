"""The lock that keeps two commands out of one run directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from learnalign.errors import RunError
from learnalign.rundir.files import disk_error


class Lock:
    """Holds DIR/.lock while the block runs; blocks of one process may be nested. The kernel frees it with the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
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

    def _acquire(self) -> int:
        """The locked file; raises RunError if another command holds it or the directory cannot be written."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise disk_error(self._directory, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise RunError(f"{self._directory} is in use by another learnalign command; wait for it to end") from None
        return descriptor
