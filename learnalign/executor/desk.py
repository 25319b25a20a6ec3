"""Who has which shard, and what becomes of the shards of a worker that is lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from learnalign.rundir import Shard

TRIES = 3  # a shard that loses its worker so often is given up


class Desk:
    """Hands shards to workers, each known by a number, and takes back those of workers that are lost.

    Workers take several shards at once, but none more than its share of those that are not done: with few shards and many workers,
    the first to ask would else have them all. A shard that has lost a worker is from then on handed out alone: what is worked on
    beside it is not lost with it again.

    Args:
        shards: in the order in which they are handed out.
        done: whether the file of a shard is stored.
        claim: whether this process may have the shard; one that it may not is another process's.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        done: Callable[[Shard], bool],
        claim: Callable[[Shard], bool] = lambda shard: True,
    ) -> None:
        self._left, self._done, self._claim = deque(shards), done, claim
        self._held: dict[int, list[Shard]] = {}
        self._stored: Counter[int] = Counter()  # prompts that workers have stored of what they had
        self._lost: Counter[Shard] = Counter()
        self._reasons: dict[Shard, str] = {}

    def take(self, worker: int, workers: int = 1) -> Shard | None:
        """The next shard for this one of so many workers; None if there is none beside those that it has, though others may come yet."""
        if self._has_its_share(worker, workers):
            return None
        held = self._held.get(worker, [])
        while self._left and not (held and any(self._lost[shard] for shard in (*held, self._left[0]))):
            shard = self._left.popleft()
            if self._claim(shard):
                self._held.setdefault(worker, []).append(shard)
                return shard
        return None

    def _has_its_share(self, worker: int, workers: int) -> bool:
        held = len(self._held.get(worker, []))
        if held * workers < len(self._left) + held:  # whatever the others have stored
            return False
        for each in self._held:
            self._forget_done(each)
        held = len(self._held.get(worker, []))
        return held > 0 and held * workers >= len(self._left) + sum(map(len, self._held.values()))

    def _forget_done(self, worker: int) -> None:
        """Take what the worker has stored from what it has."""
        held = self._held.get(worker, [])
        done = [shard for shard in held if self._done(shard)]
        held[:] = [shard for shard in held if shard not in done]
        self._stored[worker] += sum(map(len, done))

    def finish(self, worker: int) -> None:
        """The worker has done all that it has."""
        self._held.pop(worker, None)
        del self._stored[worker]

    def lose(self, worker: int, reason: str) -> int:
        """Take back what the worker had and has not stored; returns the prompts of what it had stored."""
        self._forget_done(worker)
        stored = self._stored.pop(worker)
        for shard in reversed(self._held.pop(worker, [])):
            self._lost[shard] += 1
            self._reasons[shard] = reason
            if self._lost[shard] < TRIES:
                self._left.appendleft(shard)
        return stored

    @property
    def left(self) -> int:
        """Shards that no worker has."""
        return len(self._left)

    @property
    def held(self) -> int:
        """Workers that have a shard."""
        return len(self._held)

    @property
    def given_up(self) -> Mapping[Shard, str]:
        """Shards that were lost too often, and why they were the last time."""
        return {shard: self._reasons[shard] for shard, count in self._lost.items() if count >= TRIES}
