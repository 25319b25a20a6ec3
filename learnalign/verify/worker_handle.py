"""The parent's handle on one worker process."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence

import psutil

from learnalign.errors import InputError, RunError
from learnalign.verify.verdict import Verdict

_BOOT = """
import json, sys
settings = json.loads(sys.argv[1])
sys.path[:] = settings["path"]
from learnalign.verify.worker import main
main(settings)
"""
_START_LIMIT = 300.0  # seconds; a user's module may load a model
MOST_WAIT = 20  # wall-clock seconds for each CPU second that a built-in verifier may take: for a crowded machine


class WorkerHandle:
    """A worker process, the numbers of its unanswered tasks, and `since`, the time it began the first of them."""

    def __init__(self, function: str | None, timeout: float) -> None:
        self.tasks: deque[int] = deque()
        self._counts_cpu = function is None  # a user's function may wait for a service, which takes no CPU time
        self._cpu_before = 0.0
        self.ready = self._ended = False
        self._start_memory = 0
        self.timeout = timeout
        self.connection, far_end = multiprocessing.Pipe()
        settings = {"descriptor": far_end.fileno(), "function": function, "timeout": timeout, "path": sys.path}
        with far_end:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(settings)],
                pass_fds=[far_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # stderr, for what a user's function prints: stdout is for results
                start_new_session=True,  # so that its children are killed with it, and Ctrl-C reaches only the parent
                env={"OMP_NUM_THREADS": "1", **os.environ},
            )
        self._status = psutil.Process(self._process.pid)
        self.since = time.monotonic()

    @property
    def idle(self) -> bool:
        return self.ready and not self.tasks

    def give(self, numbers: Sequence[int], tasks: Sequence[bytes]) -> bool:
        """Send the tasks; returns False if the worker has died."""
        try:
            self.connection.send_bytes(b"[" + b",".join(tasks) + b"]")
        except (BrokenPipeError, ConnectionResetError):
            return False
        self.tasks.extend(numbers)
        self._begin()
        return True

    def answers(self) -> list[tuple[int, Verdict]]:
        """Return the verdicts that have arrived, with their tasks' numbers; raises EOFError if the worker has died."""
        arrived: list[tuple[int, Verdict]] = []
        while True:
            try:
                if not self.connection.poll():
                    if arrived:
                        self._begin()
                    return arrived
                message = json.loads(self.connection.recv_bytes())
            except (EOFError, ConnectionResetError):
                if arrived:
                    return arrived  # the next call raises
                raise EOFError from None
            if isinstance(message, list):
                arrived.append((self.tasks.popleft(), Verdict(*message)))
            elif "error" in message:
                raise InputError(message["error"])
            else:
                self.ready, self._start_memory = True, self._resident()
                self._begin()

    def overdue(self, memory_limit: int) -> str | None:
        """Return why the worker must be killed, the time or memory of its current task; None if it is within limits."""
        seconds = time.monotonic() - self.since
        if not self.ready:
            return f"not ready after {_START_LIMIT:.0f} s" if seconds > _START_LIMIT else None
        if self.tasks and seconds > self.timeout and self._spent(seconds) > self.timeout:
            return self._out_of_time()
        if seconds > 0.05 and self.memory() > memory_limit:
            return f"the verifier ran out of memory ({memory_limit / 2**30:g} GiB)"
        return None

    def _begin(self) -> None:
        """Count the time of the next task from now."""
        self.since = time.monotonic()
        self._cpu_before = self._cpu()

    def _spent(self, seconds: float) -> float:
        """The time that counts of `seconds` since the task began: of a built-in verifier its CPU time, so that a
        verdict does not depend on the machine's load, and a part of the rest, so that nothing waits for ever."""
        return max(self._cpu() - self._cpu_before, seconds / MOST_WAIT) if self._counts_cpu else seconds

    def _cpu(self) -> float:
        try:
            times = self._status.cpu_times()
            return float(times.user + times.system)
        except psutil.NoSuchProcess:
            return 0.0

    def _out_of_time(self) -> str:
        return f"the verifier ran out of time ({self.timeout:g} s{' of CPU time' if self._counts_cpu else ''})"

    def memory(self) -> int:
        """Return the bytes taken beyond the imports."""
        return self._resident() - self._start_memory

    def _resident(self) -> int:
        try:
            return self._status.memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def kill(self) -> int:
        """Kill the process and its children; returns the exit status, negative for a signal."""
        if not self._ended:
            self._ended = True
            self.connection.close()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def cause_of_death(self) -> str:
        """Return how a process that closed its connection ended; raises RunError if it never became ready."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            status = 0
        self.kill()
        if not self.ready:
            raise RunError(
                f"a verifier's worker process could not start (exit status {status}); its error is printed above"
            )
        if status in (-signal.SIGALRM, -signal.SIGPROF):
            return self._out_of_time()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return f"the verifier's process died ({how})"
