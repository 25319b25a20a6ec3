"""All shards in this process, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learnalign.progress import Progress
from learnalign.rundir import RunDir, Shard


def execute_locally(
    run: RunDir, label: str, shards: Sequence[Shard], make_worker: Callable[[], Callable[[Shard], None]]
) -> None:
    """Make one worker and give it the shards one after the other."""
    total = run.prompt_count
    with Progress(total, "prompts", label, done=total - sum(len(shard) for shard in shards)) as progress:
        worker = make_worker()
        for shard in shards:
            worker(shard)
            progress.advance(len(shard))
