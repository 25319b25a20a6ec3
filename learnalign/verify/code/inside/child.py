"""A process for one test, with limits, of which nothing is left when it ends."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys

TYPE_CHECKING = False  # as `typing` has it, whose import takes as long as a small test
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OUT_OF_MEMORY = 77  # exit status
MOST_OUTPUT = 16 * 2**20  # bytes of one file
_MOST_PROCESSES, _MOST_FILES = 64, 64
_STACK = 256 * 2**20  # bytes, for deep recursion of compiled programs
ALONE = {"alone": True}  # whether all other processes that can be killed here are the program's


def wall_seconds(seconds: float) -> float:
    """The seconds by the clock for `seconds` of CPU time: a busy machine is not the program's fault, sleeping is."""
    return 3 * seconds + 2


def anonymous_file() -> int:
    """A descriptor of a file without a name."""
    try:
        return os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError:
        return os.memfd_create("output")


def run_child(
    body: Callable[[], None], seconds: float, memory: int, files: tuple[int, int, int], kept: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Run `body` in a forked process and wait for it; returns its status, CPU seconds and exit status.

    Args:
        body: ends the process itself, or returns.
        seconds: CPU time that it may take.
        memory: bytes of address space that it may take.
        files: its standard input, output and error.
        kept: other descriptors that stay open.
    """
    pid = start_child(body, seconds, memory, files, kept)
    return end_child(pid, seconds, wall_seconds(seconds))


def start_child(
    body: Callable[[], None], seconds: float, memory: int, files: tuple[int, int, int], kept: tuple[int, ...] = ()
) -> int:
    """Fork a process that runs `body` within limits; returns its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        for number, descriptor in enumerate(files):
            os.dup2(descriptor, number)
        _close_all_but(kept)
        set_limits(seconds, memory)
        body()
        os._exit(0)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    finally:
        os._exit(1)


def set_limits(seconds: float, memory: int) -> None:
    """Limit this process and its children for good."""
    whole = int(seconds) + 1
    limits = {
        resource.RLIMIT_CPU: (whole, whole + 1),
        resource.RLIMIT_AS: (memory, memory),
        resource.RLIMIT_FSIZE: (MOST_OUTPUT, MOST_OUTPUT),
        resource.RLIMIT_NPROC: (_MOST_PROCESSES, _MOST_PROCESSES),
        resource.RLIMIT_NOFILE: (_MOST_FILES, _MOST_FILES),
        resource.RLIMIT_CORE: (0, 0),
    }
    for which, limit in limits.items():
        most = resource.getrlimit(which)[1]
        resource.setrlimit(which, limit if most < 0 else (min(limit[0], most), min(limit[1], most)))
    most = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK if most < 0 else min(_STACK, most), most))


def end_child(pid: int, seconds: float, wall: float) -> dict[str, Any]:
    """Wait for the process, at most `wall` seconds, and kill all that it left."""
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    in_time = bool(poll.poll(wall * 1000))
    os.close(handle)
    kill_all(pid)
    _, status, usage = os.wait4(pid, 0)
    _reap()
    took = usage.ru_utime + usage.ru_stime
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    if not in_time or took > seconds or number == signal.SIGXCPU:
        kind = "time"
    elif code == OUT_OF_MEMORY:
        kind = "memory"
    else:
        kind = "ok" if code == 0 else "error"
    return {"status": kind, "seconds": took, "signal": number, "code": code}


def kill_all(pid: int) -> None:
    """Kill the process and whatever it started; in a sandbox of its own, every process but this one and the first."""
    try:
        if ALONE["alone"]:
            os.kill(-1, signal.SIGKILL)
        else:
            os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def content(descriptor: int) -> bytes:
    """All that a file holds, at most `MOST_OUTPUT` bytes."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    left = MOST_OUTPUT
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _close_all_but(kept: tuple[int, ...]) -> None:
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 65_536)
