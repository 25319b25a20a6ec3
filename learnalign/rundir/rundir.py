"""One run's directory: its paths, its stages' records in run.json, and the refusal of stale settings."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from learnalign.config import Config, dump_config, load_config
from learnalign.errors import InputError
from learnalign.rundir import files
from learnalign.rundir.lock import Lock
from learnalign.rundir.machine import describe_machine, peak_memory_gb, versions
from learnalign.rundir.stages import STAGES, downstream, fingerprint, settings_of
from learnalign.rundir.trust import check_trust, remember_trust


@dataclass(frozen=True)
class Shard:
    """Rows start..stop of prompts.parquet: the unit of work and of resume."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A prompt (or input row) that was left out, and why."""

    reason: str
    id: str | None = None
    row: int | None = None


@dataclass
class StageRecord:
    """What a stage reports in run.json: counts (of prompts, tokens, …) and notes of any JSON type."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class RunDir:
    """A run directory and its configuration; made by `create`, `open` or `peek`."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self._lock = Lock(path)
        self._prompt_count: int | None = None

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: Config,
        *,
        overwrite: bool = False,
        stage: str | None = None,
        template_time: datetime | None = None,
        trust: bool = True,
    ) -> Self:
        """Open `path` with `config` and write it there; raises InputError if a stage was made with other settings.

        With `overwrite`, stages made with other settings are deleted; if there are none, the results of `stage` are.
        A new run directory keeps `template_time`. The caller's `config` is trusted with the code that it names (see `trust`);
        pass trust=False if it was read from a directory of somebody else's.
        """
        run = cls(Path(path), config)
        if trust:
            remember_trust(run.path, config)
        stale = run.stale()
        if stale and not overwrite:
            raise InputError(_refusal(run.path, stale))
        if overwrite:
            run._discard([name for name, _ in stale] or ([stage] if stage else []))
        text = dump_config(config)
        if not run.config_file.is_file() or run.config_file.read_text(encoding="utf-8") != text:
            files.write_text(run.config_file, text)
        if template_time is not None and not run.record_file.is_file():
            run._update(template_time=template_time.isoformat(timespec="seconds"))
        return run

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
        """Open for reading only, stale or not."""
        path = Path(path)
        if not (path / "config.yaml").is_file():
            raise InputError(f"{path} is not a run directory (no config.yaml in it); make one with --config FILE")
        return cls(path, load_config(path / "config.yaml"))

    def child(self, kind: str, name: str, config: Config, *, overwrite: bool = False) -> Self:
        """The run directory DIR/`kind`/`name` with a `config` of its own and this run's `template_time`; `overwrite` deletes an
        earlier one first.
        """
        check_trust(self.path, self.config)  # what it made would be trusted, too
        directory = self.path / kind / name
        if overwrite and (directory / "config.yaml").is_file():
            shutil.rmtree(directory)
        return type(self).create(directory, config, template_time=self.template_time)

    # paths

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def record_file(self) -> Path:
        return self.path / "run.json"

    @property
    def prompts_file(self) -> Path:
        return self.path / "prompts.parquet"

    @property
    def quarantine_file(self) -> Path:
        return self.path / "quarantine.jsonl"

    @property
    def success_file(self) -> Path:
        return self.path / "success.parquet"

    @property
    def warmup_dir(self) -> Path:
        return self.path / "warmup"

    @property
    def exact_file(self) -> Path:
        return self.path / "gradients" / "exact.parquet"

    def rollouts_file(self, shard: Shard) -> Path:
        return self.path / "rollouts" / f"part-{shard.index:05d}.parquet"

    def gradients_file(self, shard: Shard) -> Path:
        return self.path / "gradients" / f"part-{shard.index:05d}.safetensors"

    def signal_file(self, name: str) -> Path:
        return self.path / "signals" / f"{name}.parquet"

    def scores_file(self, method: str) -> Path:
        return self.path / "scores" / f"{method}.parquet"

    def subset_file(self, method: str) -> Path:
        return self.path / ("subset.jsonl" if method == "learnalign" else f"subset-{method}.jsonl")

    # shards

    def count_prompts(self) -> int:
        """n, the rows of prompts.parquet, read once; the pool must have been prepared."""
        import pyarrow.parquet as pq

        if self._prompt_count is None:
            self._prompt_count = pq.read_metadata(self.prompts_file).num_rows
        return self._prompt_count

    def shards(self) -> list[Shard]:
        """The fixed slices of the pool, one file per stage each."""
        size, count = self.config.executor.shard_size, self.count_prompts()
        return [Shard(i, start, min(start + size, count)) for i, start in enumerate(range(0, count, size))]

    # records

    def read_record(self) -> dict[str, Any]:
        """run.json; an empty record before the first stage."""
        return files.read_json(self.record_file) if self.record_file.is_file() else {"inputs": {}, "stages": {}}

    @property
    def template_time(self) -> datetime:
        """What a chat template takes for the present time, whenever it renders: when this run was made, or the run around it."""
        record = self.read_record()
        return datetime.fromisoformat(record.get("template_time") or record.get("created") or _now())

    def fingerprint(self, stage: str) -> str:
        """A digest of the settings and input files that `stage` and all stages before it depend on."""
        return fingerprint(self.config, self.read_record()["inputs"], stage)

    def is_finished(self, stage: str) -> bool:
        """Whether `stage` has completed with the present settings."""
        entry = self.read_record()["stages"].get(stage, {})
        return entry.get("status") == "done" and entry["fingerprint"] == self.fingerprint(stage)

    def record_inputs(self, inputs: dict[str, str]) -> None:
        """Store the digests of the source and the model that this run reads."""
        self._update(inputs=inputs)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[StageRecord]:
        """Record that `name` has begun; when the block ends without error, that it is done: counts, time, peak memory.

        An InputError before anything new is stored leaves the record as it was, so that the user may correct the setting.
        """
        record, started, refused = StageRecord(), time.monotonic(), False
        with self._lock:
            previous = self.read_record()["stages"].get(name)
            same = previous is not None and previous.get("fingerprint") == self.fingerprint(name)
            earlier = previous if previous is not None and same else {}
            settings = settings_of(self.config, name)
            entry: dict[str, Any] = {"fingerprint": self.fingerprint(name), "settings": settings, "status": "begun"}
            entry |= {"started": earlier.get("started", _now()), "seconds": earlier.get("seconds", 0.0)}
            self._update_stage(name, {**earlier, **entry})
            try:
                yield record
                entry |= {"status": "done", "finished": _now(), "counts": record.counts, **record.notes}
            except InputError:
                refused = same or not self._has_outputs(name)
                raise
            finally:
                entry["seconds"] = round(entry["seconds"] + time.monotonic() - started, 3)
                entry["peak_memory_gb"] = peak_memory_gb()
                self._update_stage(name, previous if refused else {**earlier, **entry})

    def _update_stage(self, name: str, entry: dict[str, Any] | None) -> None:
        """Store the stage's entry; None deletes it."""
        others = {other: stored for other, stored in self.read_record()["stages"].items() if other != name}
        self._update(stages=others if entry is None else {**others, name: entry})

    def _has_outputs(self, stage: str) -> bool:
        """Whether a file of the stage is stored."""
        paths = [path for output in STAGES[stage].outputs for path in self.path.glob(output)]
        return any(path.is_file() or any(file.is_file() for file in path.rglob("*")) for path in paths)

    def _update(self, **changes: Any) -> None:
        about = {"versions": versions(), "machine": describe_machine(), "seed": self.config.seed}
        files.write_json(self.record_file, {"created": _now(), **self.read_record(), **about, **changes})

    # prompts left out

    def quarantine(self, stage: str, entries: Sequence[Quarantined]) -> None:
        """Replace the lines of `stage` in quarantine.jsonl with `entries`."""
        others = [line for line in self.quarantined() if line["stage"] != stage]
        lines = [{"id": e.id, "row": e.row, "stage": stage, "reason": e.reason} for e in entries]
        if lines or self.quarantine_file.is_file():
            files.write_jsonl(self.quarantine_file, [*others, *lines])

    def quarantined(self) -> list[dict[str, Any]]:
        """All lines of quarantine.jsonl: id, row, stage, reason."""
        return files.read_jsonl(self.quarantine_file) if self.quarantine_file.is_file() else []

    # stale settings

    def stale(self) -> list[tuple[str, list[str]]]:
        """Stages made with other settings, with the differences in words."""
        stages = self.read_record()["stages"]
        compared = [
            (name, _differences(stages[name]["settings"], settings_of(self.config, name)))
            for name in STAGES
            if name in stages
        ]
        return [(name, differences) for name, differences in compared if differences]

    def _discard(self, stages: Sequence[str]) -> None:
        removed = {name for stage in stages for name in downstream(stage)}
        for path in [path for name in removed for output in STAGES[name].outputs for path in self.path.glob(output)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        kept = [line for line in self.quarantined() if line["stage"] not in removed]
        if kept or self.quarantine_file.is_file():
            files.write_jsonl(self.quarantine_file, kept)
        if self.record_file.is_file():
            self._update(
                stages={name: entry for name, entry in self.read_record()["stages"].items() if name not in removed}
            )


def _differences(stored: dict[str, Any], requested: dict[str, Any]) -> list[str]:
    keys = [key for key in {**stored, **requested} if stored.get(key) != requested.get(key)]
    return [f"{key}: stored {stored.get(key)!r}, requested {requested.get(key)!r}" for key in keys]


def _refusal(path: Path, stale: list[tuple[str, list[str]]]) -> str:
    lines = [f"  {stage}: {difference}" for stage, differences in stale for difference in differences]
    return "\n".join(
        [
            f"{path} was made with other settings:",
            *lines,
            "Ways out: undo the change; pass --overwrite to discard the old results and recompute them; or choose a",
            "new run directory.",
        ]
    )


def default_file_name(source: str | Path, *labels: str) -> str:
    """The stem of `source` and the labels, joined by dashes, in characters that a file name can have."""
    return re.sub(r"[^\w.-]+", "-", "-".join([Path(str(source).rstrip("/")).stem, *labels]))


def file_name(name: str) -> str:
    """`name`, if it can be a file's; raises InputError for one that would lead elsewhere."""
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise InputError(f"--name {name}: give letters, digits, dots, dashes and underscores")
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
