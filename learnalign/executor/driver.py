"""The driver's end: starts workers in other processes, gives them shards over sockets, and replaces those that are lost."""

from __future__ import annotations

import contextlib
import math
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge, wait
from pathlib import Path
from typing import Any, Protocol

from learnalign import errors
from learnalign.errors import LearnAlignError, RunError, counted
from learnalign.executor.desk import TRIES, Desk
from learnalign.executor.serving import Gone, Line
from learnalign.executor.work import Work
from learnalign.progress import Progress
from learnalign.rundir import RunDir
from learnalign.rundir.machine import spent_elsewhere

PATIENCE = 60.0  # seconds
LOOKS = 1.0  # seconds between two looks at which workers have ended
LAST_WORDS = 2.0  # seconds for what a worker that has ended said before
TICK = 0.1  # seconds between two looks at workers that say nothing


class Places(Protocol):
    """Where workers run."""

    host: str  # the address of the driver, for them
    counts_cpu: bool  # whether their CPU time is that of this process's children

    def room(self) -> int:
        """How many workers there may be now."""

    def start(self, number: int, address: tuple[str, int], key: bytes, job: dict[str, Any]) -> None:
        """Start a worker; it may have to wait for its place."""

    def ended(self, number: int) -> str | None:
        """How the worker has ended; None if it runs."""

    def stop(self, number: int) -> None:
        """End the worker at once, if it runs."""

    def close(self) -> None:
        """End all, and whatever they run on."""


@dataclass
class _Hired:
    line: Line | None = None
    ready: bool = False  # has loaded what it needs
    idle: bool = False  # wants a first shard
    ended: float | None = None  # when it was seen to have ended
    untold: float = 0.0  # prompts that it has reported of shards that it has not finished


@dataclass
class Driver:
    """Drives `work` by workers at `places` until the desk has nothing left."""

    run: RunDir
    work: Work
    desk: Desk
    progress: Progress
    places: Places
    _hired: dict[int, _Hired] = field(default_factory=dict)
    _new: list[Connection] = field(default_factory=list)
    _number: int = 0
    _patience: float = field(default_factory=lambda: time.monotonic() + PATIENCE)
    _failed: int = 0  # workers in a row that were lost before they were ready
    _hires: bool = True  # whether lost workers are replaced
    _looked: float = 0.0  # when it was last looked which workers have ended

    def __call__(self) -> None:
        """Raises an error that a worker met on purpose, and RunError if no worker can be started."""
        self._key = secrets.token_bytes(32)
        job = {
            "directory": str(Path(self.run.path).absolute()),
            "stage": self.work.stage,
            "fingerprint": self.run.fingerprint(self.work.stage),
            "make": self.work.made_by,
            "options": dict(self.work.options),
        }
        with self._listening() as address:
            try:
                while self.desk.left or self.desk.held:
                    self._hire(address, job)
                    self._greet()
                    self._listen()
                    self._miss()
            finally:
                for number in self._hired:
                    self.places.stop(number)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[tuple[str, int]]:
        closing = threading.Event()
        with Listener((self.places.host, 0), backlog=128) as listener:
            address: tuple[str, int] = listener.address  # type: ignore[assignment]

            def accept() -> None:
                while not closing.is_set():
                    with contextlib.suppress(OSError):
                        threading.Thread(target=self._welcome, args=(listener.accept(),), daemon=True).start()

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            try:
                yield address
            finally:
                closing.set()
                with contextlib.suppress(OSError):  # it waits for one more
                    socket.create_connection(address, timeout=1).close()
                    thread.join()

    def _welcome(self, connection: Connection) -> None:
        """Let in who knows the key; whoever says nothing waits in a thread of its own."""
        with contextlib.suppress(AuthenticationError, EOFError, OSError):
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            self._new.append(connection)

    def _hire(self, address: tuple[str, int], job: dict[str, Any]) -> None:
        """Start as many workers as there is room and work for."""
        if not self._hires:
            return
        for _ in range(min(self.places.room(), self.desk.left + self.desk.held) - len(self._hired)):
            self._number += 1
            self._hired[self._number] = _Hired()
            self.places.start(self._number, address, self._key, job)

    def _greet(self) -> None:
        """Take the connections that have come, each of a worker that says its number."""
        while self._new:
            line = Line(self._new.pop())
            with contextlib.suppress(Gone, KeyError):
                self._hired[line.receive()["worker"]].line = line

    def _listen(self) -> None:
        """Answer the workers that have something to say, and give the idle ones a shard."""
        for number, worker in list(self._hired.items()):
            if worker.line and worker.idle and (shard := self.desk.take(number, len(self._hired))) is not None:
                worker.idle = False
                with contextlib.suppress(Gone):  # it is noticed below
                    worker.line.send(shard=shard.index)
        numbers = {worker.line.connection: number for number, worker in self._hired.items() if worker.line}
        if not numbers:
            time.sleep(TICK)
            self._lose_patience()
        for connection in wait(list(numbers), TICK):
            number = numbers[connection]  # type: ignore[index]
            worker = self._hired[number]
            assert worker.line is not None
            try:
                self._answer(number, worker, worker.line, worker.line.receive())
            except Gone:
                self._lose(number, self._how(number))

    def _lose_patience(self) -> None:
        """Say once that no worker has come."""
        if time.monotonic() > self._patience:
            self._patience = math.inf
            print(
                f"{self.work.label}: no worker has started for a minute; is there room for one?",
                file=sys.stderr,
                flush=True,
            )

    def _answer(self, number: int, worker: _Hired, line: Line, message: dict[str, Any]) -> None:
        worker.untold += message.get("advance", 0.0)
        self.progress.advance(message.get("advance", 0.0))
        if message.get("ready"):
            worker.ready, worker.idle, self._failed, self._hires = True, True, 0, True
        if message.get("more"):
            shard = self.desk.take(number, len(self._hired))
            line.send(shard=None if shard is None else shard.index)
        if message.get("finished"):
            self.desk.finish(number)
            worker.idle, worker.untold = True, 0.0
            if not self.places.counts_cpu:
                spent_elsewhere(message["cpu_seconds"])
        if "error" in message:
            if kind := message["error"]:
                raise _error(kind, message["text"])
            self._lose(number, message["text"])

    def _miss(self) -> None:
        """Notice the workers that have ended unheard: before they could connect, or with their machine, whose connections stay open."""
        if (now := time.monotonic()) - self._looked < LOOKS:
            return
        self._looked = now
        for number, worker in list(self._hired.items()):
            if (how := self.places.ended(number)) is not None:
                worker.ended = worker.ended or now
                if now - worker.ended > LAST_WORDS:
                    self._lose(number, how)

    def _how(self, number: int) -> str:
        """How a worker has ended whose connection is gone; its process may take a moment longer."""
        for _ in range(50):
            if (how := self.places.ended(number)) is not None:
                return how
            time.sleep(TICK)
        return "its connection was lost"

    def _lose(self, number: int, reason: str) -> None:
        worker = self._hired.pop(number)
        self.places.stop(number)
        if worker.line:
            worker.line.connection.close()
        self.progress.advance(self.desk.lose(number, reason) - worker.untold)
        if worker.ready:  # its place is good
            self._failed, self._hires = 0, True
            print(f"{self.work.label}: lost a worker, others do its shards: {reason}", file=sys.stderr, flush=True)
            return
        self._failed += 1
        if self._failed >= TRIES:
            self._stop_hiring(reason)

    def _stop_hiring(self, reason: str) -> None:
        """Go on with the workers that there are; raises RunError if none of them works."""
        what = f"{self.work.label}: {TRIES} workers in a row could not be started; the last one: {reason}"
        working = sum(worker.ready for worker in self._hired.values())
        if not working:
            raise RunError(what)
        if self._hires:
            self._hires = False
            print(f"{what}; {counted(working, 'worker goes', 'workers go')} on", file=sys.stderr, flush=True)


def _error(kind: str, text: str) -> LearnAlignError:
    """The error that a worker has met."""
    known = getattr(errors, kind, None)
    return (known if isinstance(known, type) and issubclass(known, LearnAlignError) else RunError)(text)


def refuse_given_up(work: Work, desk: Desk) -> None:
    """Raise RunError if shards were given up, though the others are stored."""
    if given_up := desk.given_up:
        first, reason = next(iter(given_up.items()))
        shards = counted(len(given_up), "shard was", "shards were")
        raise RunError(
            f"{work.label}: {shards} given up after {TRIES} lost workers, the others are stored: the first, prompts {first.start} to "
            f"{first.stop - 1} of prompts.parquet: {reason}; run the same command again to try anew"
        )
