"""A subset's rows as a file, with the description beside it: in the run directory, or where `-o` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from learnalign.errors import InputError
from learnalign.handoff import find_format
from learnalign.handoff.about import check_about, is_described, write_about
from learnalign.handoff.format import Chosen
from learnalign.handoff.messages import scored_rows
from learnalign.handoff.writing import JSONL, kind_for, write_rows
from learnalign.outputs import check_output, is_stdout, is_stream, open_output, refuse_foreign
from learnalign.prompts import Prompt
from learnalign.rollouts.groups import load_opened
from learnalign.rundir import RunDir
from learnalign.rundir.files import as_json, atomic_path, is_intact, is_own, write_lines, write_text
from learnalign.verify.configured import configured_limits


@dataclass(frozen=True, kw_only=True)
class Handed:
    """The subset of a run's method `label` in the format `name`; `entry` is what select records of the method."""

    run: RunDir
    label: str
    entry: Mapping[str, Any]
    name: str
    chosen: Chosen

    def beside(self, path: Path) -> dict[Path, str]:
        """What the trainer needs beside the file `path`: texts by their files."""
        texts = find_format(self.name).beside(self.chosen, path.name)
        return {path.with_name(path.stem.replace("-", "_") + suffix): text for suffix, text in texts.items()}

    def write(self, path: Path, kind: str = JSONL) -> Path:
        """Write the file and its description, whose path is returned."""
        format = find_format(self.name)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            write_rows(file, format, format.rows(self.chosen), kind)
        return write_about(self.run, self.label, self.entry, path, self.name)

    def write_all(self, path: Path, kind: str) -> Path:
        """`write`, and what the trainer needs beside it."""
        texts = self.beside(path)
        for place, text in texts.items():
            if place.exists() and place.read_bytes() != text.encode() and not is_own(place):
                raise InputError(
                    f"{place} is there with other content, and the trainer needs a file of that name; move it"
                )
        for place, text in texts.items():
            write_text(place, text)
        return self.write(path, kind)

    def write_output(self, output: Path) -> None:
        """Write where `-o` says; a stream gets the rows alone."""
        format = find_format(self.name)
        if is_regular(output):
            self.write_all(output.resolve(), kind_for(output, self.name, format))
            return
        with open_output(output) as file:
            write_rows(file, format, format.rows(self.chosen), JSONL)


def chosen_of(run: RunDir, prompts: Sequence[Prompt], where: str, data_source: str | None = None) -> Chosen:
    """Prompts of a run with what it judges them by; `where` names them in messages for the user."""
    first = run.shards()[0]
    return Chosen(
        prompts=prompts,
        verifier=run.config.verifier,
        reasoning_tags=run.config.data.reasoning_tags,
        opened=load_opened(run, first) if is_intact(run.rollouts_file(first)) else "",
        sandbox=run.config.verifier_sandbox,
        limits=asdict(configured_limits(run.config)),
        data_source=data_source,
        where=where,
    )


def write_messages(path: Path, run: RunDir, prompts: Sequence[Prompt]) -> None:
    """Write all the prompts of a run, which no method chose, in the format `messages`, with the description beside it."""
    write_lines(path, map(as_json, scored_rows(chosen_of(run, prompts, str(path)))))
    count = len(prompts)
    entry = {"chosen": count, "size": count, "way": None, "eligible": count, "skipped": {}}
    write_about(run, "all that are left", entry, path, "messages")


def check_handed(output: Path, name: str, run: RunDir) -> None:
    """Refuse, before any work, an `-o` that cannot or must not be written, or is no file of the format `name`."""
    check_output(output, [Path(run.config.data.path).expanduser()])
    kind_for(output, name, find_format(name))
    if is_regular(output):
        check_about(output.resolve())
        refuse_foreign(output, is_described)


def is_regular(path: Path) -> bool:
    """Whether `-o` means a file, not a stream."""
    return not is_stdout(path) and not is_stream(path)
