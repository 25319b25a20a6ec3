"""Which completions an engine has still to give, which says when it needs another shard.

A few completions are much longer than the others. While those of one shard are waited for, the engine has to work on the next: with
a fixed number of shards at once, a large engine would be half empty.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

from learnalign.rundir import Shard

MOST_SHARDS = 32  # that one engine works on at once


class Unfinished:
    """The completions of each running shard that are asked for and have not ended."""

    def __init__(self) -> None:
        self._counts: dict[int, float] = {}
        self._changed = threading.Condition()

    def expect(self, shard: Shard, count: int) -> None:
        """So many completions of the shard are to come."""
        with self._changed:
            self._counts[shard.index] = count
            self._changed.notify_all()

    def ended(self, shard: Shard, count: float) -> None:
        """So many of them have ended."""
        with self._changed:
            self._counts[shard.index] -= count
            self._changed.notify_all()

    def wait(self, limit: int, running: set[Future[None]]) -> set[Future[None]]:
        """Wait until there are fewer than `limit` and one more shard may run, or until all of `running` have ended.

        Returns those that still run; raises the error of one.
        """

        def go_on() -> bool:
            few = sum(self._counts.values()) < limit and len(running) < MOST_SHARDS
            return few or any(future.done() for future in running)

        while running:
            with self._changed:
                self._changed.wait_for(go_on)
            ended = {future for future in running if future.done()}
            for future in ended:
                future.result()
            if not ended:
                break
            running -= ended
        return running
