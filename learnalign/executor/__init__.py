"""Which worker does which shard. A worker is made once per process (it loads the model) and takes shards as it needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from learnalign.progress import Advance, Progress
from learnalign.rundir import RunDir, Shard

Worker = Callable[[Iterator[Shard], Progress], None]


def execute(run: RunDir, label: str, shards: Sequence[Shard], make_worker: Callable[[], Worker]) -> None:
    """Have one worker of this process work on all `shards`, in order; `label` names the progress.

    `make_worker` is called only if there is work. A worker may take several shards before it has done the first; it writes each
    one's file. An error ends the stage, and finished shards stay.
    """
    if not shards:
        return
    total = run.count_prompts()
    with Progress(total, "prompts", label, done=total - sum(len(shard) for shard in shards)) as progress:
        make_worker()(iter(shards), progress)


def one_by_one(work: Callable[[Shard, Advance], None]) -> Worker:
    """A worker that does `work` for one shard after another.

    `work` is also given an `Advance` to call as prompts of the shard are done; the rest of the shard counts when it returns.
    """

    def worker(shards: Iterator[Shard], progress: Progress) -> None:
        for shard in shards:
            with progress.part(len(shard)) as advance:
                work(shard, advance)

    return worker
