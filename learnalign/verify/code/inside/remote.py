"""Does one job on a code-running service, in one process tree: the program's process is forked before its tests are read.

Reads the job and, for a job with a session, the assertions, a line each; writes the replies, a line each.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

from . import checker, runner, wire

_NOT_DUMPABLE = 4  # prctl: no process of the same user may look into this one


def main() -> None:
    """Do the job of standard input."""
    write = os.fdopen(os.dup(1), "wb", buffering=0).write
    os.dup2(2, 1)
    job = _line()  # not a byte more: the second line must not be in memory when the program's process is forked
    if json.loads(job)["tests"] != [{"kind": "session"}]:
        runner.serve(iter([job]), write)
        return
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.closerange(3, theirs.fileno())
        stream = theirs.makefile("rwb", buffering=0)
        runner.serve(_job_and_calls(job, stream), stream.write)
        os._exit(0)
    theirs.close()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_NOT_DUMPABLE, 0)
    stream = ours.makefile("rwb", buffering=0)
    loaded = stream.readline()
    write(loaded)
    if "loaded" in json.loads(loaded):
        write(wire.dumps(checker.check(json.loads(_line()), lambda message: _asked(message, stream))))


def _job_and_calls(job: bytes, stream: Any) -> Iterator[bytes]:
    yield job
    yield from stream


def _asked(message: dict[str, Any], stream: Any) -> dict[str, Any]:
    stream.write(wire.dumps(message))
    reply = stream.readline()
    return json.loads(reply) if reply else {"ended": "error"}


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (part := os.read(0, 1)):
        line += part
    return line
