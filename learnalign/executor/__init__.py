"""Which worker does which shard. A worker is made once per process (it loads the model) and called shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learnalign.executor.local import execute_locally
from learnalign.rundir import RunDir, Shard

Worker = Callable[[Shard], None]

__all__ = ["Worker", "execute"]


def execute(run: RunDir, label: str, shards: Sequence[Shard], make_worker: Callable[[], Worker]) -> None:
    """Have every shard of `shards` worked on by the executor of `run.config.executor`; `label` names the progress.

    `make_worker` is called only if there is work. A worker writes its shard's file; an error ends the stage, and
    finished shards stay.
    """
    if shards:
        execute_locally(run, label, shards, make_worker)
