"""All shards in this process, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learnalign.progress import Advance, Progress
from learnalign.rundir import RunDir, Shard

Worker = Callable[[Shard, Advance], None]


def execute_locally(run: RunDir, label: str, shards: Sequence[Shard], make_worker: Callable[[], Worker]) -> None:
    """Make one worker and give it the shards one after the other."""
    total = run.count_prompts()
    with Progress(total, "prompts", label, done=total - sum(len(shard) for shard in shards)) as progress:
        worker = make_worker()
        for shard in shards:
            with progress.part(len(shard)) as advance:
                worker(shard, advance)
