"""Which worker does which shard: one of this process, several of this machine, or those of a Ray cluster; of all shards or a slice's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from learnalign.config import ExecutorConfig
from learnalign.errors import Unfinished, counted
from learnalign.executor.cluster import Cluster, ray_devices
from learnalign.executor.desk import Desk
from learnalign.executor.driver import Driver, Places, refuse_given_up
from learnalign.executor.local import Processes, gpus_of_one, groups_of, visible_gpus
from learnalign.executor.work import Work, Worker, one_by_one
from learnalign.progress import Progress
from learnalign.rundir import RunDir, Shard

__all__ = ["Work", "Worker", "execute", "gpus_of_one", "one_by_one", "planned_workers", "visible_gpus"]


def execute(run: RunDir, work: Work) -> None:
    """Have the shards worked on that are not stored yet: those of the run's slice, if it has one.

    An error ends the stage, and finished shards stay. In other processes, those of a lost worker go to another one; RunError is
    raised at the end for shards that were lost too often. Raises Unfinished if other slices' shards are not stored yet.
    """
    todo = [shard for shard in run.shards() if not work.done(shard)]
    own = todo if run.slice is None else [shard for shard in todo if shard in run.slice]
    if own:
        _execute(run, work, own)
    if run.slice is not None:
        _refuse_unfinished(run, work)


def _execute(run: RunDir, work: Work, own: Sequence[Shard]) -> None:
    share = [shard for shard in run.shards() if run.slice is None or shard in run.slice]
    total = sum(len(shard) for shard in share)
    with (
        _claim(run, work) as claim,
        Progress(total, "prompts", work.label, done=total - sum(len(shard) for shard in own)) as progress,
    ):
        desk = Desk(own, work.done, claim)
        places = _places(run, work)
        if places is None:
            work.make(run, **work.options)(iter(lambda: desk.take(0), None), progress)
            return
        with closing(places):
            run.note_workers(work.stage, min(places.room(), len(own)))
            Driver(run, work, desk, progress, places)()
        refuse_given_up(work, desk)


@contextmanager
def _claim(run: RunDir, work: Work) -> Iterator[Callable[[Shard], bool]]:
    """Whether this process may have a shard: one that no process of the same slice works on."""
    if run.slice is None:
        yield lambda shard: True
        return
    with closing(run.claims(work.stage)) as claims:
        yield lambda shard: claims.take(shard.index) and not work.done(shard)


def _places(run: RunDir, work: Work) -> Places | None:
    """Where workers run; None is this process."""
    settings = run.config.executor
    gpus = max(work.gpus, settings.gpus_per_worker)
    if settings.kind == "ray":
        return Cluster(settings, gpus)
    groups = groups_of(settings.devices, gpus)
    here = len(groups) == 1 and groups[0] == visible_gpus()
    return None if here else Processes(groups)


def planned_workers(settings: ExecutorConfig, gpus: int) -> int:
    """How many workers of so many GPUs (or more, by `gpus_per_worker`) a stage will have here; raises InputError if it can have none.

    Of a Ray cluster's own number, which grows and shrinks and is not asked for, it is 1.
    """
    if settings.kind == "ray":
        devices = ray_devices(settings)
        return devices if isinstance(devices, int) else 1
    return len(groups_of(settings.devices, max(gpus, settings.gpus_per_worker)))


def _refuse_unfinished(run: RunDir, work: Work) -> None:
    """Raise Unfinished if a shard of the stage is not stored yet."""
    assert run.slice is not None
    shards = run.shards()
    left = [shard for shard in shards if not work.done(shard)]
    if not left:
        return
    busy = sum(shard in run.slice for shard in left)
    own = f"{counted(busy, 'shard')} of it another process is working on; " if busy else ""
    step = f" ({work.step})" if work.step else ""
    raise Unfinished(
        f"slice {run.slice} of {work.stage}{step} is done; {own}{len(shards) - len(left)} of {counted(len(shards), 'shard')} of the stage "
        f"are stored, and {work.then}",
        slice=str(run.slice),
        stage=work.stage,
        shards=len(shards),
        stored=len(shards) - len(left),
    )
