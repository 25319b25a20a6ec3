"""Where everything in a run directory is, and the names that users may give to files."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from learnalign.config import NEXT
from learnalign.errors import InputError, short


@dataclass(frozen=True)
class Shard:
    """Rows start..stop of prompts.parquet: the unit of work and of resume."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def rows(self) -> str:
        """What a file of this shard says that it is of."""
        return f"{self.start}-{self.stop}"


@dataclass(frozen=True)
class Slice:
    """Shards `number`, `number` + `count` … of a stage, counted from 1: the part of one of `count` processes that share the work."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of "i/k"; raises InputError unless i is from 1 to k."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        number, count = (int(each) for each in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise InputError(
                f"--slice {short(text)}: give i/k, with i from 1 to k, e.g. 1/4, 2/4, 3/4 and 4/4 to share the work among four"
            )
        return cls(number, count)

    def __contains__(self, shard: Shard) -> bool:
        return shard.index % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class Paths:
    """The paths in a run directory."""

    path: Path

    @property
    def directory(self) -> Path:
        """The directory; of what `--overwrite` makes, the one that it is for."""
        return self.path.parent if self.path.name == NEXT else self.path

    @property
    def quoted(self) -> str:
        """`directory` as one types it in a shell, for commands in messages."""
        return shlex.quote(url_of(self.directory) or str(self.directory))

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def record_file(self) -> Path:
        return self.path / "run.json"

    @property
    def record_copy(self) -> Path:
        """A second run.json, which a damaged one is repaired from."""
        return self.path / ".run.json"

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
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def warmup_dir(self) -> Path:
        return self.path / "warmup"

    @property
    def exact_file(self) -> Path:
        return self.path / "gradients" / "exact.parquet"

    @property
    def cascade_file(self) -> Path:
        return self.path / "gradients" / "cascade.parquet"

    def rollouts_file(self, shard: Shard) -> Path:
        return self.path / "rollouts" / f"part-{shard.index:05d}.parquet"

    def reference_file(self, shard: Shard) -> Path:
        """log π_ref of the rollouts' tokens, beside the rollouts: in DIR/.next, those of DIR unless they are made anew."""
        there = self.path.name == NEXT and (self.path / "rollouts").is_symlink()
        root = self.path.parent if there else self.path
        return root / "rollouts" / f"reference-{shard.index:05d}.safetensors"

    def gradients_file(self, shard: Shard) -> Path:
        return self.path / "gradients" / f"part-{shard.index:05d}.safetensors"

    def signal_file(self, name: str) -> Path:
        return self.path / "signals" / f"{name}.parquet"

    def signal_parts(self, name: str) -> Path:
        """The folder of the shards' rows, which are kept until the signal is complete."""
        return self.path / "signals" / ".parts" / name

    def signal_part(self, name: str, shard: Shard) -> Path:
        return self.signal_parts(name) / f"part-{shard.index:05d}.parquet"

    def scores_file(self, method: str) -> Path:
        return self.path / "scores" / f"{method}.parquet"

    def subset_file(self, method: str) -> Path:
        return self.path / ("subset.jsonl" if method == "learnalign" else f"subset-{method}.jsonl")

    def export_file(self, label: str, suffix: str) -> Path:
        """A subset in a trainer's format; `label` is the format's name, and the method's unless it is learnalign."""
        return self.path / "export" / f"{label}{suffix}"


COPIES = "runs"  # the directory of local copies in the cache, one folder each
URL_FILE = "url"  # beside the local copy of a remote run directory


def url_of(directory: Path) -> str | None:
    """The URL of the run directory whose local copy `directory` is; None for any other directory."""
    folder = Path(os.path.abspath(directory)).parent
    if folder.parent.name != COPIES:
        return None
    try:
        return (folder / URL_FILE).read_text("utf-8").strip()
    except OSError:
        return None


def here(path: str | Path) -> Path:
    """A path of this machine; raises InputError for a URL, be it a string or, with one slash less, a path."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise InputError(
            f"{path}: a run directory by URL is worked on in a local copy: `with learnalign.rundir.remote.mirrored(URL) as directory:`"
        )
    return Path(path)


def default_file_name(source: str | Path, *labels: str) -> str:
    """The stem of `source` and the labels, joined by dashes, in characters that a file name can have."""
    return re.sub(r"[^\w.-]+", "-", "-".join([Path(str(source).rstrip("/")).stem, *labels]))


def file_name(name: str) -> str:
    """`name`, if it can be a file's; raises InputError for one that would lead elsewhere."""
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise InputError(f"--name {name}: give letters, digits, dots, dashes and underscores")
    return name
