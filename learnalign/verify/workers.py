"""Worker processes with hard limits of time and memory per task; one that hangs or dies is replaced."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait

from learnalign.errors import RunError
from learnalign.rundir.machine import usable_cpus
from learnalign.verify.verdict import Verdict
from learnalign.verify.worker_handle import WorkerHandle

_CHUNK = 32  # most tasks sent to a worker at once
_MOST_LOST = 20  # most idle workers that may die, e.g. killed by the machine's memory guard
_TICK = 0.05  # seconds between checks of deadlines and memory


class Workers:
    """Judges tasks in up to `workers` processes, started when first needed; call `close` at the end.

    Args:
        function: a user's `module:function`, or None for the built-in verifiers.
        workers: most processes at once; None: one per usable CPU.
        timeout: seconds that one task may take: of CPU time, or by the clock for a user's function.
        memory_limit: bytes of resident memory that a worker may take beyond its imports.
    """

    def __init__(self, function: str | None, workers: int | None, timeout: float, memory_limit: int) -> None:
        self._function, self._timeout, self._memory_limit = function, timeout, memory_limit
        self._most = workers or usable_cpus()
        self._handles: list[WorkerHandle] = []
        self._lost = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start one worker and wait until it is ready; raises InputError if a user's function cannot be loaded."""
        worker = WorkerHandle(self._function, self._timeout)
        self._handles.append(worker)
        while not worker.ready:
            try:
                wait([worker.connection], timeout=_TICK)
                worker.answers()
            except EOFError:
                worker.cause_of_death()
            self._refuse_late_start(worker)

    def run(self, tasks: Sequence[bytes]) -> list[Verdict]:
        """Judge the tasks (JSON lists), in order; one that hangs, eats memory or kills its worker is unscorable."""
        with self._lock:
            verdicts: list[Verdict | None] = [None] * len(tasks)
            waiting = deque(range(len(tasks)))
            try:
                while waiting or any(worker.tasks for worker in self._handles):
                    self._hand_out(tasks, waiting)
                    self._collect(verdicts, waiting)
            except BaseException:
                self.close()  # else unfinished tasks of this call would be answered in the next
                raise
        return [verdict for verdict in verdicts if verdict is not None]

    def close(self) -> None:
        """End all workers."""
        for worker in self._handles:
            worker.kill()
        self._handles.clear()

    def _hand_out(self, tasks: Sequence[bytes], waiting: deque[int]) -> None:
        wanted = min(self._most, -(-len(waiting) // 8))
        while sum(not worker.tasks for worker in self._handles) < wanted and len(self._handles) < self._most:
            self._handles.append(WorkerHandle(self._function, self._timeout))
        for worker in [worker for worker in self._handles if worker.idle]:
            size = min(_CHUNK, -(-len(waiting) // (2 * self._most)))
            numbers = [waiting.popleft() for _ in range(size)]
            if not numbers:
                return
            # Memory can grow over many tasks: replace the worker before a single task is blamed for it.
            grown = worker.memory() > self._memory_limit / 2
            if grown or not worker.give(numbers, [tasks[number] for number in numbers]):
                waiting.extendleft(reversed(numbers))
                self._drop(worker)
                self._lost += not grown
                if self._lost > _MOST_LOST:
                    raise RunError(
                        f"{self._lost} idle verifier processes died; check {self._function or 'the memory of this machine'}"
                    )

    def _collect(self, verdicts: list[Verdict | None], waiting: deque[int]) -> None:
        active = [worker for worker in self._handles if not worker.idle]
        ready = wait([worker.connection for worker in active], timeout=_TICK)
        for worker in active:
            reason = None
            if worker.connection in ready or worker.overdue(self._memory_limit):
                try:
                    for number, verdict in worker.answers():
                        verdicts[number] = verdict
                except EOFError:
                    reason = worker.cause_of_death()
            self._refuse_late_start(worker)
            reason = reason or (None if worker.idle else worker.overdue(self._memory_limit))
            if reason:
                self._drop(worker)
                verdicts[worker.tasks.popleft()] = Verdict(None, reason)
                waiting.extendleft(reversed(worker.tasks))

    def _refuse_late_start(self, worker: WorkerHandle) -> None:
        if not worker.ready and (late := worker.overdue(self._memory_limit)):
            self.close()
            raise RunError(
                f"a verifier's worker process was {late}; check that {self._function or 'math-verify'} imports quickly"
            )

    def _drop(self, worker: WorkerHandle) -> None:
        worker.kill()
        self._handles.remove(worker)
