"""What a stage wants done for each of its shards, in words that any process understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from learnalign.progress import Advance, Progress
from learnalign.rundir import Shard

Worker = Callable[[Iterator[Shard], Progress], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A stage's work on its shards.

    Args:
        stage: its name.
        label: names the progress.
        make: `make(run, **options)` gives a worker in any process, where it loads the model; a function of a module. A worker may
            take several shards before it has done the first; it writes each one's file.
        done: whether the file of a shard is stored.
        options: plain JSON.
        gpus: that a worker needs.
    """

    stage: str
    label: str
    make: Callable[..., Worker]
    done: Callable[[Shard], bool]
    options: Mapping[str, Any] = field(default_factory=dict)
    gpus: int = 1

    @property
    def made_by(self) -> str:
        """`make`, for `imported`."""
        return f"{self.make.__module__}:{self.make.__qualname__}"


def imported(name: str) -> Callable[..., Any]:
    """The function "module:name"."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]


def one_by_one(work: Callable[[Shard, Advance], None]) -> Worker:
    """A worker that does `work` for one shard after another.

    `work` is also given an `Advance` to call as prompts of the shard are done; the rest of the shard counts when it returns.
    """

    def worker(shards: Iterator[Shard], progress: Progress) -> None:
        for shard in shards:
            with progress.part(len(shard)) as advance:
                work(shard, advance)

    return worker
