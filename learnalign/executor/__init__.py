"""Which worker does which shard. A worker is made once per process (it loads the model) and called shard by shard.

It is also given what to call as prompts of the shard get done; what it does not report counts when the shard is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learnalign.executor.local import Worker, execute_locally
from learnalign.rundir import RunDir, Shard

__all__ = ["Worker", "execute"]


def execute(run: RunDir, label: str, shards: Sequence[Shard], make_worker: Callable[[], Worker]) -> None:
    """Have every shard of `shards` worked on by the executor of `run.config.executor`; `label` names the progress.

    `make_worker` is called only if there is work. A worker writes its shard's file; an error ends the stage, and
    finished shards stay.
    """
    if shards:
        execute_locally(run, label, shards, make_worker)
