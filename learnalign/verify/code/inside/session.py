"""A process that has run the program's statements and answers calls, until it is closed or breaks a limit."""

from __future__ import annotations

import os
import select
import socket
import time

from . import child, wire
from .program import PythonProgram

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TICK = 0.1  # seconds between looks at the clock


class Session:
    """One such process: `ask` passes a line on and returns the answer's line."""

    def __init__(self, program: PythonProgram, job: dict[str, Any]) -> None:
        self._connection, theirs = socket.socketpair()
        self._seconds = job["seconds"]
        nothing = os.open(os.devnull, os.O_RDWR)

        def body() -> None:
            stream = theirs.makefile("rwb")

            def send(line: bytes) -> None:
                stream.write(line)
                stream.flush()

            program.answer(iter(stream), send)

        files = (nothing, nothing, nothing)
        self._pid = child.start_child(body, job["total_seconds"], job["memory"], files, kept=(theirs.fileno(),))
        theirs.close()
        os.close(nothing)

    def ask(self, line: bytes) -> bytes:
        """Return the answer, or {"ended": reason} if the process is over and no more can be asked."""
        wall = child.wall_seconds(self._seconds)
        end, used = time.monotonic() + wall, self._cpu_seconds()
        answer = bytearray()
        try:
            self._connection.settimeout(wall)  # of a program that does not read
            self._connection.sendall(line)
            while not answer.endswith(b"\n"):
                if len(answer) > child.MOST_OUTPUT:
                    return self._ended("output")
                if self._cpu_seconds() - used > self._seconds or time.monotonic() > end:
                    return self._ended("time")
                if select.select([self._connection], [], [], _TICK)[0]:
                    part = self._connection.recv(2**20)
                    if not part:
                        return self._ended()
                    answer += part
        except TimeoutError:
            return self._ended("time")
        except OSError:
            return self._ended()
        return bytes(answer)

    def close(self) -> None:
        """End the process and all that it started."""
        self._connection.close()
        if self._pid:
            child.end_child(self._pid, self._seconds, 0)
            self._pid = 0

    def _ended(self, why: str = "") -> bytes:
        self._connection.close()
        how = child.end_child(self._pid, self._seconds, 0 if why else 1.0)
        self._pid = 0
        return wire.dumps({"ended": why or ("ended" if how["status"] == "ok" else how["status"])})

    def _cpu_seconds(self) -> float:
        try:
            return time.clock_gettime(~self._pid << 3 | 2)  # the kernel's number of the process's CPU clock
        except OSError:
            return 0.0
