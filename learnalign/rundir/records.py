"""run.json, the record of a run and its stages, and quarantine.jsonl, the prompts that were left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from learnalign.config import Config, flatten, portable
from learnalign.errors import counted
from learnalign.rundir import files
from learnalign.rundir.labels import label_of
from learnalign.rundir.machine import describe_machine, versions
from learnalign.rundir.manifest import manifest_of
from learnalign.rundir.stages import STAGES, downstream, fingerprint, outputs_of, settings_of, stage_of
from learnalign.rundir.tables import Tables


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A prompt (or input row) that was left out, and why; rows count from 0, lines of a file from 1."""

    reason: str
    id: str | None = None
    row: int | None = None
    line: int | None = None


class Records(Tables):
    """What a run directory says about itself."""

    path: Path
    config: Config

    @property
    def own_label(self) -> str:
        """The label of the choice by the settings of `select`."""
        return str(label_of(self.config))

    def read_record(self) -> dict[str, Any]:
        """run.json; an empty record before the first stage."""
        return files.read_json(self.record_file) if self.record_file.is_file() else {"inputs": {}, "stages": {}}

    @property
    def template_time(self) -> datetime:
        """What a chat template takes for the present time, whenever it renders: when this run was made, or the run around it."""
        record = self.read_record()
        return datetime.fromisoformat(record.get("template_time") or record.get("created") or now())

    def fingerprint(self, stage: str) -> str:
        """A digest of the settings and input files that `stage` and all stages before it depend on."""
        return fingerprint(self.config, self.read_record()["inputs"], stage, self.path)

    def is_finished(self, stage: str, *, read: bool = False) -> bool:
        """Whether `stage` has completed with the present settings, and nothing of it is missing, or `read` as damaged."""
        entry = self.read_record()["stages"].get(stage, {})
        done = entry.get("status") == "done" and entry["fingerprint"] == self.fingerprint(stage)
        return done and not self.missing(stage, read=read)

    def missing(self, stage: str, *, read: bool = False) -> dict[str, str]:
        """Files of `stage` that are missing, or damaged in that they have another size (if `read`, another digest), by path."""
        manifest = manifest_of(self.record_file)
        if manifest is None:
            return {}
        own = [path for path in manifest.paths() if stage_of(path) == stage]
        return {file: what for path in own for file, what in manifest.damage(path, read=read).items()}

    def record_inputs(self, inputs: dict[str, str]) -> None:
        """Store the digests of the source and the model that this run reads."""
        self._update(inputs=inputs)

    def cascade_note(self) -> str | None:
        """What `grad.cascade` kept, in a sentence; None without it, or before the stage is done."""
        kept = self.read_record()["stages"].get("grad", {}).get("cascade")
        if not kept:
            return None
        return (
            f"grad.cascade took gradients of {kept['kept']:,} of the {counted(kept['candidates'], 'prompt')} that can have one, those "
            f"of the highest {kept['signal']}; the others cannot be chosen by a method that reads gradients"
        )

    def note_export(self, file: str, **options: Any) -> None:
        """Keep what made a file of DIR/export: `export` with these options can make it again."""
        exports = self.read_record().get("exports", {})
        if exports.get(file) != options:
            self._update(exports={**exports, file: options})

    def reopen(self, stages: Collection[str]) -> None:
        """Record that `stages` are not finished, so that they are run again; what they have stored stays."""
        record = self.read_record()["stages"]
        self._update(
            stages={name: entry | ({"status": "begun"} if name in stages else {}) for name, entry in record.items()}
        )

    def _update_stage(self, name: str, entry: dict[str, Any] | None) -> None:
        """Store the stage's entry; None deletes it."""
        with self.alone():
            others = {other: stored for other, stored in self.read_record()["stages"].items() if other != name}
            self._update(stages=others if entry is None else {**others, name: entry})

    def _update(self, **changes: Any) -> None:
        about = {"versions": versions(), "machine": describe_machine(), "seed": self.config.seed}
        manifest = manifest_of(self.record_file)
        about |= {"manifest": manifest.name if manifest else None}
        about |= {"config": portable(self.config.model_dump(mode="json"), self.path)}
        with self.alone():
            record = {"created": now(), **self.read_record(), **about, **changes}
            files.write_json(self.record_file, record)
            files.write_json(self.record_copy, record)

    def alone(self) -> AbstractContextManager[None]:
        """Have the processes that share the run directory wait while the block writes what all of them write."""
        raise NotImplementedError

    # prompts left out

    def quarantine(self, stage: str, entries: Sequence[Quarantined]) -> None:
        """Replace the lines of `stage` in quarantine.jsonl with `entries`."""
        places = [{"row": e.row} | ({} if e.line is None else {"line": e.line}) for e in entries]
        lines = [{"id": e.id, **p, "stage": stage, "reason": e.reason} for e, p in zip(entries, places, strict=True)]
        with self.alone():
            others = [line for line in self.quarantined() if line["stage"] != stage]
            if lines or self.quarantine_file.is_file():
                files.write_jsonl(self.quarantine_file, [*others, *lines])

    def quarantined(self) -> list[dict[str, Any]]:
        """All lines of quarantine.jsonl: id, row, line (if the source has lines), stage, reason."""
        return files.read_jsonl(self.quarantine_file) if self.quarantine_file.is_file() else []

    # what is stored, and by which settings

    def outputs(self, *stages: str) -> list[Path]:
        """What these stages (all, if none is named) have stored: files, and directories of files."""
        return outputs_of(self.path, *stages)

    def has_outputs(self, *stages: str) -> bool:
        """Whether a file of these stages is stored."""
        return any(path.is_file() or any(file.is_file() for file in path.rglob("*")) for path in self.outputs(*stages))

    def has_results(self) -> bool:
        """Whether a stage after the pool has stored a file."""
        return self.has_outputs(*(stage for stage in downstream("pool") if stage != "pool"))

    def stale(self) -> list[tuple[str, list[str]]]:
        """Stages made with other settings, with the differences in words; not a pool on which nothing builds yet.

        Such a pool is made again in seconds, so that a setting that was found wrong in it may be corrected.
        """
        record = self.read_record()
        compared = [
            (
                name,
                _differences(portable(entry["settings"], self.path), settings_of(self.config, name, self.path)),
            )
            for name in STAGES
            if (entry := record["stages"].get(name))
        ]
        compared += [("rollout", self._differences_of_warmup(record))]
        found = [(name, differences) for name, differences in compared if differences]
        return [] if [name for name, _ in found] == ["pool"] and not self.has_results() else found

    def _differences_of_warmup(self, record: dict[str, Any]) -> list[str]:
        """What rollouts depend on beside their own settings, if there was no warmup, whose entry would tell it: the seed."""
        stages = record["stages"]
        if (
            "rollout" not in stages
            or "warmup" in stages
            or stages["rollout"]["fingerprint"] == self.fingerprint("rollout")
        ):
            return []
        stored, own = flatten(record.get("config", {})), flatten(self.config.model_dump(mode="json"))
        keys = [key for key in stored.keys() & own.keys() if key == "seed" or key.startswith("warmup.")]
        return _differences({key: stored[key] for key in sorted(keys)}, {key: own[key] for key in sorted(keys)})


def _differences(stored: dict[str, Any], requested: dict[str, Any]) -> list[str]:
    keys = [key for key in {**stored, **requested} if stored.get(key) != requested.get(key)]
    return [f"{key}: stored {_value(stored.get(key))}, requested {_value(requested.get(key))}" for key in keys]


def _value(value: object) -> str:
    """A setting in a message: null as in YAML."""
    return "null" if value is None else repr(value)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
