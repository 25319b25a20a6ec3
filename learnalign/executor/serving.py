"""The worker's end: a process that takes shards from the one that drives the stage, over a socket, until there are no more."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, LearnAlignError, RunError, one_line
from learnalign.executor.work import Worker, imported
from learnalign.progress import Progress
from learnalign.rundir import RunDir, Shard, remember_trust
from learnalign.rundir.machine import cpu_seconds

INTERVAL = 0.2  # seconds between two reports of progress


class Gone(Exception):
    """The other end has ended."""


class Line:
    """Messages in JSON over a connection; several threads may send. Both raise Gone."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self._lock = connection, threading.Lock()

    def send(self, **message: Any) -> None:
        try:
            with self._lock:
                self.connection.send_bytes(json.dumps(message).encode())
        except OSError as error:
            raise Gone from error

    def receive(self) -> dict[str, Any]:
        try:
            return json.loads(self.connection.recv_bytes())  # type: ignore[no-any-return]
        except (EOFError, OSError) as error:
            raise Gone from error


class Told(Progress):
    """Counts for the driver, and displays nothing."""

    def __init__(self, line: Line) -> None:
        super().__init__(0, "", "")
        self._line, self._untold = line, 0.0

    def advance(self, count: float = 1) -> None:
        """Count `count` more prompts, or a part of one. Safe from any thread."""
        with self._lock:
            self.done, self._untold = self.done + count, self._untold + count
            if (now := time.monotonic()) - self._printed >= INTERVAL:
                self._printed = now
                self._line.send(advance=self.tell())

    def tell(self) -> float:
        """What has been counted since the last time."""
        untold, self._untold = self._untold, 0.0
        return untold


def serve(address: tuple[str, int], key: bytes, number: int, job: dict[str, Any]) -> None:
    """Work for the driver at `address` as worker `number`; returns when it wants no more, or is gone."""
    with Client(address, authkey=key) as connection, suppress(Gone):
        line = Line(connection)
        try:
            line.send(worker=number)
            _work(line, job)
        except LearnAlignError as error:
            line.send(error=type(error).__name__ if error.is_final else None, text=str(error))
        except Exception as error:
            if not isinstance(error, Gone):
                line.send(error=None, text=f"{type(error).__name__}: {one_line(error, 500)}")


def _work(line: Line, job: dict[str, Any]) -> None:
    run = _open(job)
    worker: Worker = imported(job["make"])(run, **job["options"])
    progress, before = Told(line), 0.0
    shards = {shard.index: shard for shard in run.shards()}
    line.send(ready=True)

    def more() -> Iterator[Shard]:
        while True:
            line.send(more=True)
            if (index := line.receive()["shard"]) is None:
                return
            yield shards[index]

    while True:
        first = line.receive()["shard"]  # comes when there is one
        worker(chain([shards[first]], more()), progress)
        spent = cpu_seconds()
        line.send(finished=True, advance=progress.tell(), cpu_seconds=spent - before)
        before = spent


def _open(job: dict[str, Any]) -> RunDir:
    """The run directory of the job; raises InputError if this machine sees another one there, or none."""
    path = Path(job["directory"])
    elsewhere = f"; workers on other machines (this is {socket.gethostname()}) need it on a file system that all share"
    try:
        run = RunDir.peek(path)
    except (InputError, RunError) as error:
        raise InputError(f"{error}{elsewhere}") from error
    if run.fingerprint(job["stage"]) != job["fingerprint"]:
        raise InputError(f"{path} has other settings here than where the stage was started{elsewhere}")
    remember_trust(run.path, run.config)  # whoever drives the stage has been asked
    return run
