"""The parent's handle on one worker process."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence

import psutil

from learnalign.errors import InputError, RunError
from learnalign.isolation import environment, own_module_path, python
from learnalign.verify.verdict import Verdict

_BOOT = """
import json, sys
settings = json.loads(sys.argv[1])
sys.path[:] = settings["path"]
import os, signal
from learnalign.lifeline import watch
watch(settings["descriptor"], lambda: os.killpg(0, signal.SIGKILL))  # the children of a user's function, too
from learnalign.verify.worker import main
main(settings)
"""
_WALL = 10  # a built-in verifier's seconds by the clock for each CPU second that it may take
_START_LIMIT = 300.0  # seconds; a user's module may load a model


class WorkerHandle:
    """A worker process, the numbers of its unanswered tasks, and when it began the first of them, by clock and CPU time.

    Built-in verifiers compute: `timeout` is CPU time, so that a verdict does not depend on the machine's load. A user's
    function may wait on a service, which takes no CPU time: there `timeout` is by the clock.
    """

    def __init__(self, function: str | None, timeout: float) -> None:
        self.tasks: deque[int] = deque()
        self.ready = self._ended = False
        self._start_memory = 0
        ours = function is None or function.startswith("learnalign.")
        self._cpu_limit = timeout if ours else None
        self._wall_limit = _WALL * timeout if ours else timeout
        self._begun_at = 0.0  # CPU seconds of the process
        self.connection, far_end = multiprocessing.Pipe()
        limits = {"cpu_limit": self._cpu_limit, "wall_limit": self._wall_limit}
        settings = {"descriptor": far_end.fileno(), "function": function, "path": own_module_path(), **limits}
        with far_end:
            self._process = subprocess.Popen(
                python("-c", _BOOT, json.dumps(settings)),
                pass_fds=[far_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # stderr, for what a user's function prints: stdout is for results
                start_new_session=True,  # so that its children are killed with it, and Ctrl-C reaches only the parent
                env={"OMP_NUM_THREADS": "1", **environment()},
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
        self.since = time.monotonic()
        return True

    def answers(self) -> list[tuple[int, Verdict]]:
        """Return the verdicts that have arrived, with their tasks' numbers; raises EOFError if the worker has died."""
        arrived: list[tuple[int, Verdict]] = []
        while True:
            try:
                if not self.connection.poll():
                    return arrived
                message = json.loads(self.connection.recv_bytes())
            except (EOFError, ConnectionResetError):
                if arrived:
                    return arrived  # the next call raises
                raise EOFError from None
            self.since = time.monotonic()
            if isinstance(message, list):
                *verdict, self._begun_at = message
                arrived.append((self.tasks.popleft(), Verdict(*verdict)))
            elif "error" in message:
                raise InputError(message["error"])
            else:
                self.ready, self._begun_at, self._start_memory = True, message["ready"], self._resident()

    def overdue(self, memory_limit: int) -> str | None:
        """Return why the worker must be killed, the time or memory of its current task; None if it is within limits."""
        seconds = time.monotonic() - self.since
        if not self.ready:
            return f"not ready after {_START_LIMIT:.0f} s" if seconds > _START_LIMIT else None
        if self.tasks and seconds > self._wall_limit:
            return self._out_of_time()
        if self.tasks and self._cpu_limit and seconds > self._cpu_limit and self._cpu_time() > self._cpu_limit:
            return self._out_of_time()
        if seconds > 0.05 and self.memory() > memory_limit:
            return f"the verifier ran out of memory ({memory_limit / 2**30:g} GiB)"
        return None

    def _out_of_time(self) -> str:
        limit = f"{self._cpu_limit:g} s of CPU time" if self._cpu_limit else f"{self._wall_limit:g} s"
        return f"the verifier ran out of time ({limit})"

    def _cpu_time(self) -> float:
        """Return the CPU seconds of the current task; read only if it is late by the clock."""
        try:
            times = self._status.cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system) - self._begun_at

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
