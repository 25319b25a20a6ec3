"""Which worker does which shard. A worker is made once per process (it loads the model) and called for one shard after another.

A worker is also given an `Advance` to call as prompts of the shard are done; the rest of the shard counts when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learnalign.progress import Advance, Progress
from learnalign.rundir import RunDir, Shard

Worker = Callable[[Shard, Advance], None]


def execute(run: RunDir, label: str, shards: Sequence[Shard], make_worker: Callable[[], Worker]) -> None:
    """Have one worker of this process work on all `shards`, in order; `label` names the progress.

    `make_worker` is called only if there is work. A worker writes its shard's file; an error ends the stage, and
    finished shards stay.
    """
    if not shards:
        return
    total = run.count_prompts()
    with Progress(total, "prompts", label, done=total - sum(len(shard) for shard in shards)) as progress:
        worker = make_worker()
        for shard in shards:
            with progress.part(len(shard)) as advance:
                worker(shard, advance)
