"""Progress on stderr: a bar with rate and ETA on a terminal, else a plain line every ten seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

PLAIN_INTERVAL = 10.0  # seconds between plain lines
# A rate means something after a whole unit, and this share of the work or these seconds: the first units take longest.
MEANS_SHARE, MEANS_SECONDS = 0.05, 30.0

Advance = Callable[[float], None]  # called with the units done since the last call; parts of a unit count


def unseen(count: float) -> None:
    """Ignores progress; the default when nothing displays it."""


class Progress:
    """Counts `unit`s towards `total`; use as a context manager and call `advance`."""

    def __init__(self, total: int, unit: str, label: str, done: int = 0) -> None:
        self.total, self.unit, self.label = total, unit, label
        self.done: float = done
        self._skipped = done
        self._first: tuple[float, float] | None = None  # units done and time when the first of them came
        self._lock = threading.Lock()
        self._started = self._printed = time.monotonic()
        self._bar = _bar(self) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        else:
            already = f", {self._skipped} done before" if self._skipped else ""
            self._print(f"{self.label}: {self.total} {self._units()}{already}")
        return self

    def advance(self, count: float = 1) -> None:
        """Count `count` more units, or a part of one. Safe from any thread."""
        with self._lock:
            self.done += count
            self._first = self._first or (self.done, time.monotonic())
            if self._bar:
                self._bar.update(self._bar.task_ids[0], completed=self.done)
            elif time.monotonic() - self._printed >= PLAIN_INTERVAL and round(self.done) < self.total:
                self._print(", ".join(filter(None, (self._state(), self.outlook()))))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None and self.done > self._skipped:
            seconds = time.monotonic() - self._started
            speed = (self.done - self._skipped) / max(seconds, 1e-9)
            self._print(f"{self._state()} in {duration(seconds)}, {_rate(speed)} {self.unit}/s")

    @contextmanager
    def part(self, size: int) -> Iterator[Advance]:
        """Counts as `size` units: the block may report part of them, from any thread; the rest is added when it ends."""
        reported: list[float] = []

        def advance(count: float) -> None:
            reported.append(count)
            self.advance(count)

        yield advance
        self.advance(size - sum(reported))

    def _state(self) -> str:
        return f"{self.label}: {round(self.done)}/{self.total} {self._units()}"

    def _units(self) -> str:
        """The unit, of one or of several."""
        return self.unit.removesuffix("s") if self.total == 1 else self.unit

    def outlook(self) -> str:
        """The rate and the time left, in words; empty until the rate means something.

        It counts from the first unit: what comes before, such as the start of an engine, comes once.
        """
        if self._first is None:
            return ""
        new, seconds = self.done - self._first[0], time.monotonic() - self._first[1]
        if new < 1 or (new < MEANS_SHARE * (self.total - self._skipped) and seconds < MEANS_SECONDS):
            return ""
        speed = new / max(seconds, 1e-9)
        return f"{_rate(speed)} {self.unit}/s, {duration((self.total - self.done) / speed)} left"

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        print(line, file=sys.stderr, flush=True)


def _rate(speed: float) -> str:
    """Three digits, and thousands in full: 0.0291, 12.1, 10,300."""
    return f"{speed:.3g}" if speed < 100 else f"{speed:,.0f}"


def duration(seconds: float) -> str:
    """Seconds in the units a person would use: 8 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _bar(progress: Progress):  # type: ignore[no-untyped-def]  # rich is imported late
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Outlook(ProgressColumn):
        def render(self, task) -> Text:  # type: ignore[no-untyped-def]
            return Text(progress.outlook())

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Outlook())
    bar = Bar(*columns, console=Console(stderr=True))
    bar.add_task(progress.label, total=progress.total, completed=int(progress.done))
    return bar
