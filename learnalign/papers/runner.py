"""Runs the cells of a table, several at once in processes of their own; every finished one is kept at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

from learnalign.errors import LearnAlignError, RunError, counted, one_line
from learnalign.lifeline import watch
from learnalign.papers.cells import Cell
from learnalign.papers.results import Record, Results
from learnalign.progress import duration
from learnalign.rundir.lock import Lock

PIPELINES, LOGS = "pipelines", "logs"
Failures = dict[str, str]  # why cells failed, by their keys
Outcome = tuple[Record | None, Failures]
Work = Cell | str  # a cell, or the name of pipelines to prepare


def run_cells(
    directory: Path, cells: Sequence[Cell], results: Results, jobs: int, say: Callable[[str], None]
) -> dict[str, str]:
    """Run every cell without a record in `jobs` processes; returns why work failed, by cells and pipelines.

    What fails does not stop the rest. An interrupted run goes on where it ended: stages, trainings and evaluations are run
    directories below DIR/pipelines, and resume. Raises RunError if another command is at work in the directory.
    """
    with Lock(directory):
        results.read()
        schedule = _Schedule([cell for cell in cells if results.of(cell) is None])
        if total := len(schedule.cells):
            say(f"{counted(total, 'cell')} to run, {jobs} at a time; logs in {directory / LOGS}")
            (directory / LOGS).mkdir(exist_ok=True)
            _run(directory, schedule, results, jobs, say)
        return schedule.failed


def _run(directory: Path, schedule: _Schedule, results: Results, jobs: int, say: Callable[[str], None]) -> None:
    started, running = time.monotonic(), dict[Future[Outcome], Work]()
    here, there = Pipe(duplex=False)
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(here, directory / LOGS)) as pool:
        try:
            while True:
                while len(running) < jobs and (work := schedule.next()) is not None:
                    what = schedule.groups[work] if isinstance(work, str) else work
                    with _without_interrupts():
                        running[pool.submit(_do, directory / PIPELINES, what)] = work
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    work = running.pop(future)
                    record, failures = future.result()
                    schedule.finish(work, failures)
                    outlook = schedule.outlook(time.monotonic() - started)
                    if record is not None:
                        results.add(record)
                        say(f"{record['cell']}: {_headline(record)}; {outlook}")
                    for reason in dict.fromkeys(failures.values()):
                        say(f"{_named([key for key, why in failures.items() if why == reason])}: {reason}; {outlook}")
        except BrokenProcessPool:
            raise RunError(
                "a process was ended from outside, as the system does when memory runs out; the same command goes on where it "
                "ended, with fewer cells at a time if --jobs says so"
            ) from None
        finally:
            there.close()  # whatever still runs ends now


class _Schedule:
    """What is left: cells in their order, which wait for pipelines."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = list({cell.fingerprint: cell for cell in cells}.values())
        self.groups: dict[str, list[Cell]] = {}
        for cell in self.cells:
            self.groups.setdefault(cell.shared, []).append(cell)
        self.waiting = list(self.cells)
        self.begun: set[str] = set()
        self.prepared: set[str] = set()
        self.busy: set[str] = set()  # the places of the cells that run
        self.failed: dict[str, str] = {}
        self.done = 0

    def next(self) -> Work | None:
        """The first cell whose pipelines are prepared, or before it the first that must be; None if all wait."""
        for cell in self.waiting:
            if cell.shared in self.prepared and cell.place not in self.busy:
                self.waiting.remove(cell)
                self.busy.add(cell.place)
                return cell
            if cell.shared not in self.begun:
                self.begun.add(cell.shared)
                return cell.shared
        return None

    def outlook(self, seconds: float) -> str:
        """How much is done, and how long the rest takes at this rate."""
        left = duration(seconds / max(1, self.done) * (len(self.cells) - self.done))
        return f"{self.done} of {len(self.cells)} done, about {left} left"

    def finish(self, work: Work, failures: Failures) -> None:
        """Count what has ended; cells that cannot be trained, since their pipeline failed, are done, too."""
        self.failed |= failures
        if isinstance(work, Cell):
            self.done += 1
            self.busy.remove(work.place)
        else:
            self.prepared.add(work)
            self.waiting = [cell for cell in self.waiting if cell.key not in failures]
            self.done += len(failures)


def _named(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {counted(len(keys) - 1, 'other cell')} of its pipeline"


def _headline(record: Record) -> str:
    last = {test: list(steps.values())[-1] for test, steps in record["accuracy"].items()}
    if not last:
        return counted(record["chosen"], "prompt") + " chosen"
    return ", ".join(f"{test} {100 * each['value']:.1f} %" for test, each in last.items())


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that starts meanwhile never sees Ctrl-C: it ends with its starter, who answers; that one sees it afterwards."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _begin(lifeline: Connection, logs: Path) -> None:
    """In a new process: it ends with its starter, computes on one core, and writes what it says to a log."""
    watch(os.dup(lifeline.fileno()), lambda: os._exit(1))  # the copy stays open
    log = os.open(logs / f"{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(1)


def _do(folder: Path, work: Cell | list[Cell]) -> Outcome:
    """Perform a cell, or prepare the pipelines of several; a failure is an outcome, and the log has a bug's traceback."""
    from learnalign.papers.perform import perform
    from learnalign.papers.pipeline import prepare

    try:
        if isinstance(work, Cell):
            return perform(folder, work), {}
        return None, prepare(folder, work)
    except LearnAlignError as error:
        reason = str(error)
    except Exception as error:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {one_line(error, 300)}"
    return None, {cell.key: reason for cell in ([work] if isinstance(work, Cell) else work)}
