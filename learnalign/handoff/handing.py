"""A subset's rows as a file, with the description beside it: in the run directory, or where `-o` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnalign.handoff import find_format
from learnalign.handoff.about import check_about, write_about
from learnalign.handoff.format import Chosen
from learnalign.handoff.writing import JSONL, kind_for, write_rows
from learnalign.outputs import check_output, is_stdout, is_stream, open_output
from learnalign.rundir import RunDir
from learnalign.rundir.files import atomic_path, write_text


@dataclass(frozen=True, kw_only=True)
class Handed:
    """The subset of a run's method `label` in the format `name`; `entry` is what select records of the method."""

    run: RunDir
    label: str
    entry: Mapping[str, Any]
    name: str
    chosen: Chosen

    def write(self, path: Path, kind: str = JSONL) -> Path:
        """Write the file, what the format has beside it, and its description, whose path is returned."""
        format = find_format(self.name)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            write_rows(file, format, format.rows(self.chosen), kind)
        for suffix, text in format.beside(self.chosen, path.name).items():
            write_text(path.with_name(path.stem.replace("-", "_") + suffix), text)
        return write_about(self.run, self.label, self.entry, path, self.name)

    def write_output(self, output: Path) -> None:
        """Write where `-o` says; a stream gets the rows alone."""
        format = find_format(self.name)
        if is_regular(output):
            self.write(output.resolve(), kind_for(output, self.name, format))
            return
        with open_output(output) as file:
            write_rows(file, format, format.rows(self.chosen), JSONL)


def check_handed(output: Path, name: str, run: RunDir) -> None:
    """Refuse, before any work, an `-o` that cannot or must not be written, or is no file of the format `name`."""
    check_output(output, [Path(run.config.data.path).expanduser()])
    kind_for(output, name, find_format(name))
    if is_regular(output):
        check_about(output)


def is_regular(path: Path) -> bool:
    """Whether `-o` means a file, not a stream."""
    return not is_stdout(path) and not is_stream(path)
