"""One run's directory: how it is opened, made anew, locked and worked in by stages; settings that are stale are refused."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from learnalign.config import NEXT, Config, dump_config, load_config
from learnalign.config.trainer_fields import check_known
from learnalign.errors import InputError, LearnAlignError, RunError
from learnalign.rundir import files, replacing
from learnalign.rundir.checking import check_config, check_manifest
from learnalign.rundir.lock import RECORDS_LOCK, Claims, Lock
from learnalign.rundir.machine import Moment, peak_memory_gb, this_moment
from learnalign.rundir.manifest import NAME as MANIFEST
from learnalign.rundir.manifest import files_of, manifest_of, write_manifest
from learnalign.rundir.paths import Shard, Slice, here
from learnalign.rundir.rates import rate_of, worker_seconds
from learnalign.rundir.records import Records, now
from learnalign.rundir.spent import add, kept, recovered
from learnalign.rundir.stages import STAGES, downstream, files_in, settings_of
from learnalign.rundir.trust import check_trust, remember_trust


@dataclass
class StageRecord:
    """What a stage reports in run.json: counts (of prompts, tokens, …) and notes of any JSON type."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class RunDir(Records):
    """A run directory and its configuration; made by `create`, `open`, `peek` or `overwriting`.

    With a `slice`, the stages do that part of their shards, and share the directory with the processes of other parts.
    """

    def __init__(self, path: Path, config: Config, slice: Slice | None = None) -> None:
        self.path = path
        self.config = config
        self.slice = slice
        self._lock = Lock(path, shared=slice is not None)
        self._records_lock = Lock(path, RECORDS_LOCK, waits=True)
        self._prompt_count: int | None = None
        self._workers: dict[str, int] = {}  # by stage, those of this process
        self._swept = False

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: Config,
        *,
        template_time: datetime | None = None,
        trust: bool = True,
        slice: Slice | None = None,
    ) -> Self:
        """Open `path` with `config`, or make it; raises InputError if a stage was made with other settings, and for
        fields of `trainer` that TRL lacks.

        A new run directory keeps `template_time`. That of an older one, and its config.yaml, change with the first stage
        that is run. The caller's `config` is trusted with the code that it names (see `trust`); pass trust=False if it was
        read from a directory of somebody else's.
        """
        run = cls(here(path), config, slice)
        if trust:
            remember_trust(run.path, config)
        run.check()
        if stale := run.stale():
            raise InputError(_refusal(run.path, stale, run.slice))
        run._check_fields()
        if not run.config_file.is_file():
            with run.locked(), run.alone():
                if not run.config_file.is_file():
                    run._make(template_time)
        return run

    def _check_fields(self) -> None:
        """Raise InputError for a field that only TRL can tell is none: stored, it would be in every later command's settings.

        TRL is not asked about fields that are stored already.
        """
        own = self.config.warmup.trainer, self.config.train.trainer
        if any(own) and self.config_file.is_file():
            stored = self.peek(self.path).config
            if (stored.warmup.trainer, stored.train.trainer) == own:
                return
        check_known(self.config.warmup.trainer, "warmup")
        check_known(self.config.train.trainer or {}, "train", self.config.train.algorithm)

    def _make(self, template_time: datetime | None) -> None:
        if template_time is not None:
            self._update(template_time=template_time.isoformat(timespec="seconds"))
        self.save_config()

    @classmethod
    def open(cls, path: str | Path, *, trust: bool = False) -> Self:
        """Open an existing run directory; raises InputError if it does not exist or a stage is stale.

        Its stages refuse to run code that its config.yaml names (a verifier function, a model's own code) unless this user
        made the directory, trusted it before, or passes trust=True.
        """
        run = cls.peek(path)
        if trust:
            remember_trust(run.path, run.config)
        if stale := run.stale():
            raise InputError(_refusal(run.path, stale))
        return run

    @classmethod
    def peek(cls, path: str | Path) -> Self:
        """Open for reading only, stale or not; raises InputError if it does not exist, RunError if it is damaged."""
        run = cls(here(path), load_config(check_config(here(path))))
        run.check()
        return run

    @classmethod
    @contextlib.contextmanager
    def overwriting(
        cls,
        path: str | Path,
        config: Config,
        stage: str | None,
        *,
        more: Sequence[str] = (),
        whole: bool = False,
        template_time: datetime | None = None,
        trust: bool = True,
    ) -> Iterator[Self]:
        """Give a run directory in which results are made that replace those of `path` at the end of the block.

        Replaced are the stages that were made with other settings than `config`'s; if there are none (or `whole`), `stage`;
        all that builds on them; and whatever the patterns `more` match. If the block fails, everything stays as it was, and
        the same call goes on with what was made. Raises RunError if another command is using the directory.
        """
        old = cls(here(path), config)
        if trust:
            remember_trust(old.path, config)
        old.check()
        old._check_fields()
        with old.locked():
            stale = [] if whole else [name for name, _ in old.stale()]
            first = stale or ([stage] if stage else [])
            stages = {name for each in first for name in downstream(each)}
            replaced = [*old.outputs(*stages)] if stages else []
            replaced += [each for pattern in more for each in old.path.glob(pattern)]
            if not replaced:
                if old.config_file.is_file():
                    old._begin_anew(old, stages)
                else:
                    old._make(template_time)
                yield old
                return
            request = {"config": dump_config(config, old.path), "stages": sorted(stages), "more": list(more)}
            run = cls(old.path / NEXT, config)
            replacing.begin(old.path, request, replaced, lambda: run._begin_anew(old, stages))
            nothing = replacing.made(old.path)
            try:
                yield run
            except BaseException as error:
                if replacing.made(old.path) == nothing:
                    replacing.discard(old.path)
                if isinstance(error, LearnAlignError):  # it names the directory that the user knows
                    error.args = (str(error).replace(f"{run.path}/", f"{old.path}/"),)
                raise
            replacing.end(old.path)
            run.path = old.path

    def _begin_anew(self, old: RunDir, stages: Collection[str]) -> None:
        """Keep the records and left-out prompts of `old`, but for those of `stages`, and store the settings."""
        record = old.read_record()
        record["stages"] = {name: entry for name, entry in record["stages"].items() if name not in stages}
        lines = [line for line in old.quarantined() if line["stage"] not in stages]
        self._update(**record)
        if lines or self.quarantine_file.is_file():
            files.write_jsonl(self.quarantine_file, lines)
        files.write_text(self.config_file, dump_config(self.config, self.path))

    @contextlib.contextmanager
    def child(
        self, kind: str, name: str, config: Config, *, overwrite: bool = False, more: Sequence[str] = ()
    ) -> Iterator[Self]:
        """The run directory DIR/`kind`/`name` with a `config` of its own and this run's `template_time`.

        With `overwrite` it is made anew, `more` included, as by `overwriting`.
        """
        check_trust(self.path, self.config)  # what it makes is trusted, too
        directory, time = self.path / kind / name, self.template_time
        if overwrite:
            with self.overwriting(directory, config, "pool", more=more, whole=True, template_time=time) as sub:
                yield sub
        else:
            yield self.create(directory, config, template_time=time)

    def check(self) -> None:
        """Raise RunError if run.json cannot be read, or the manifest that it speaks of is not there; InputError for a file."""
        if self.path.is_file():
            raise InputError(f"{self.path} is a file; give a directory for the run, which need not be there yet")
        replacing.end_interrupted(self.path)
        check_manifest(self.path)
        if self.read_record().get("manifest") and not (self.path / MANIFEST).is_file():
            raise RunError(
                f"{self.path / MANIFEST} is missing, and with it the digests of all results; put it back, or have them "
                f"taken as they are now with `learnalign status {self.quoted} --repair`"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[Lock]:
        """Keep other commands out while the block runs, but for those of other slices; raises RunError if one is running."""
        with self._lock:
            with self.alone():
                self._sweep()
                if not (self.path / MANIFEST).is_file():
                    # New, or made by a version without: its files are taken as they are.
                    write_manifest(
                        self.path, {str(path.relative_to(self.path)): files_of(path) for path in files_in(self.path)}
                    )
                self._make_good()
            yield self._lock

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Have the processes of other slices wait while the block writes what all of them share."""
        with self._records_lock if self.slice else contextlib.nullcontext():
            yield

    def claims(self, stage: str) -> Claims:
        """The shards of the stage that this process takes for itself, among those of other slices."""
        return Claims(self.path, list(STAGES).index(stage))

    def _make_good(self) -> None:
        """Mend what a killed command may leave: half a line of the manifest, run.json without its copy."""
        if manifest := manifest_of(self.record_file):
            manifest.mend_end()
        if files.is_intact(self.record_file):
            record, copy = self.record_file.read_bytes(), self.record_copy
            if not copy.is_file() or copy.read_bytes() != record:
                files.write_json(copy, self.read_record())

    def _sweep(self) -> None:
        """Delete what killed commands left half-written, once: while this one has the lock, none but `report` writes here.

        A slice leaves it to later commands: others may write, and on other machines.
        """
        if not self._swept and self.slice is None:
            folders = [self.path, *(path for path in self.outputs() if path.is_dir())]
            for folder in folders:
                for temporary in [*folder.glob(".*.tmp"), *folder.glob(".tmp??????")]:  # ours, and those of safetensors
                    if not files.is_being_written(temporary):
                        files.delete(temporary)
            self._swept = True

    def handed_lock(self) -> tuple[dict[str, str], tuple[int, ...]]:
        """Variables and descriptors with which another process works under this one's lock."""
        return self._lock.handed()

    def save_config(self) -> str | None:
        """Write config.yaml if it has other settings; returns its former text."""
        with self.alone():
            former = self.config_file.read_text("utf-8", "replace") if self.config_file.is_file() else None
            if former != (text := dump_config(self.config, self.path)) or not files.is_intact(self.config_file):
                files.write_text(self.config_file, text)
                self._update()
        return former

    def note_command(self, command: str, **options: Any) -> None:
        """Keep the command that makes this directory inside another run directory: it can make damaged parts again."""
        noted = {"command": command, **options}
        if self.read_record().get("made_by") != noted:
            with self.locked():
                self._update(made_by=noted)

    # shards

    def count_prompts(self) -> int:
        """n, the rows of prompts.parquet, read once; the pool must have been prepared."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._prompt_count is None:
            self._prompt_count = pq.read_metadata(pa.BufferReader(files.verified(self.prompts_file))).num_rows
        return self._prompt_count

    def shards(self) -> list[Shard]:
        """The fixed slices of the pool, one file per stage each."""
        size, count = self.config.executor.shard_size, self.count_prompts()
        return [Shard(i, start, min(start + size, count)) for i, start in enumerate(range(0, count, size))]

    # records

    def record_dtype(self, dtype: str) -> None:
        """Store the precision that `model.dtype: auto` means in this run."""
        with self.locked():
            self._update(dtype=dtype)

    def note_workers(self, stage: str, workers: int) -> None:
        """Keep how many processes do the work of a stage that has begun: its time from now on is theirs together."""
        self._workers[stage] = workers
        self.note(stage, workers=workers)

    def note(self, stage: str, **notes: Any) -> None:
        """Keep in run.json what is known of a stage before it ends, for other processes that work on it."""
        with self.alone():
            self._update_stage(stage, {**self.read_record()["stages"][stage], **notes})

    @contextlib.contextmanager
    def stage(self, name: str, started: Moment | None = None) -> Iterator[StageRecord]:
        """Record that `name` has begun; when the block ends without error, that it is done: counts, time, peak memory.

        Its time, by the clock and of the CPUs, counts from `started` if its work began before the block.
        An InputError before anything new is stored leaves the record as it was, so that the user may correct the setting.
        """
        record, refused = StageRecord(), False
        started = this_moment() if started is None else started
        with self.locked(), contextlib.ExitStack() as keeping:
            with self.alone():
                if stale := self.stale():  # another command may have made it since this one began
                    raise InputError(_refusal(self.path, stale, self.slice))
                former = self.save_config()
                previous = self.read_record()["stages"].get(name)
                same = previous is not None and previous.get("fingerprint") == self.fingerprint(name)
                # Former versions did not count the CPU's time.
                begun = {"cpu_seconds": None, **(previous or {})} if same else self._new_entry(name)
                begun |= recovered(self.path, begun)
                begun |= {"worker_seconds": worker_seconds(begun)}
                if not (self.slice and self.is_finished(name)):  # others may build on it already
                    begun = begun | {"status": "begun"}
                    self._update_stage(name, begun)
            if self.slice is None:  # those of several slices are added to one entry
                keeping.enter_context(kept(self.path, begun, started))
            done: dict[str, Any] = {}
            try:
                yield record
                done = {"status": "done", "finished": now(), "counts": record.counts, **record.notes}
            except InputError:
                refused = same or name == "pool" or not self.has_outputs(name)  # the pool is stored at its end
                raise
            finally:
                ended = this_moment()
                with self.alone():
                    entry = self.read_record()["stages"].get(name, begun) | done
                    earlier, peaks = entry.get("peak_memory_gb", {}), peak_memory_gb()
                    entry["peak_memory_gb"] = {of: max(peak, earlier.get(of, 0.0)) for of, peak in peaks.items()}
                    seconds = ended.clock - started.clock
                    entry["worker_seconds"] = round(worker_seconds(entry) + seconds * self._workers.pop(name, 1), 3)
                    entry |= add(entry, started, ended)
                    if rate := rate_of(name, entry):
                        entry["rate"] = rate
                    self._update_stage(name, previous if refused else entry)
                    if refused and former is not None and files.read_text(self.config_file) != former:
                        files.write_text(self.config_file, former)

    def _new_entry(self, name: str) -> dict[str, Any]:
        """What run.json has of a stage that begins."""
        settings = {"fingerprint": self.fingerprint(name), "settings": settings_of(self.config, name, self.path)}
        return {**settings, "status": "begun", "started": now(), "seconds": 0.0, "cpu_seconds": 0.0}


def _refusal(path: Path, stale: list[tuple[str, list[str]]], slice: Slice | None = None) -> str:
    listed = "; ".join(f"{stage}: {difference}" for stage, differences in stale for difference in differences)
    later = ""
    if any(stage in ("warmup", "rollout") and "seed: " in " ".join(differences) for stage, differences in stale):
        later = (
            " for another seed of a later step alone, say `select --seed`, `train --seed` or `eval --set eval.seed=…`;"
        )
    return (
        f"{path} was made with other settings: {listed}. Ways out: undo the change;{later} "
        f"pass --overwrite{' without --slice' if slice else ''} to replace the old results by new ones; or choose a new run directory"
    )
