"""`export`: a subset that select has chosen, again, in a trainer's format; the run's own subset stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, RunError
from learnalign.handoff import find_format
from learnalign.handoff.handing import Handed, check_handed, chosen_of
from learnalign.prompts import Prompt, stored_prompts
from learnalign.rundir import Label, RunDir
from learnalign.rundir.files import missing, read_parquet


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """`prompts` of the subset of `method` in the format `name`: the file, and beside it its description; notes for the user."""

    name: str
    method: str
    prompts: int
    file: Path
    about: Path | None
    notes: list[str]


def export(
    run: RunDir, name: str, *, method: str | None = None, data_source: str | None = None, output: Path | None = None
) -> ExportResult:
    """Write the subset of a method as the trainer `name` reads it.

    Args:
        name: a format of `names.FORMATS`.
        method: whose subset, as its file is called (`learnability`, `learnalign-kmeans10`, `random-seed3`); None: that of the settings.
        data_source: of every row, for trainers whose scorer goes by it; None: the rows' own, if they have one.
        output: where to, as `-o` takes it; None: DIR/export/NAME.jsonl or .parquet, whichever the trainer prefers.

    Raises InputError for a wrong name or output, RunError if the method has chosen no subset.
    """
    format, label = find_format(name), method or run.own_label
    if data_source == "":
        raise InputError("--data-source: it is empty; give a name, or leave it out")
    if output is not None:
        check_handed(output, name, run)
    entry = _entry(run, label)
    chosen = chosen_of(run, _prompts(run, label), str(run.subset_file(label)), data_source)
    handed = Handed(run=run, label=label, entry=entry, name=name, chosen=chosen)
    file = run.export_file(name if label == "learnalign" else f"{name}-{label}", format.suffixes[0])
    line = format.template_line(run.config.data.chat_template_kwargs)
    result: dict[str, Any] = {
        "name": name,
        "method": label,
        "prompts": len(chosen.prompts),
        "notes": [line] if line else [],
    }
    if beside := handed.beside(file if output is None else output):
        result["notes"].append(f"{name} also needs, written beside it: {', '.join(map(str, beside))}")
    if output is not None:
        handed.write_output(output)
        return ExportResult(**result, file=output, about=None)
    with run.locked():
        about = handed.write_all(file, format.suffixes[0])
        run.note_export(str(file.relative_to(run.path)), to=name, method=label, data_source=data_source)
    return ExportResult(**result, file=file, about=about)


def _entry(run: RunDir, label: str) -> dict[str, Any]:
    """What select has recorded of the method."""
    methods = run.read_record()["stages"].get("select", {}).get("methods", {})
    if label in methods:
        if not run.scores_file(label).is_file():
            raise missing(run.scores_file(label))
        return dict(methods[label])
    run.check_method(label)
    command = f"learnalign select {run.quoted} {Label.parse(label).typed(run.config)}"
    made = f"; there are those by {', '.join(methods)}" if methods else ""
    raise RunError(f"{run.path} has no subset by method {label}: run `{command}` first{made}")


def chosen_ids(run: RunDir, label: str) -> list[str]:
    """The ids that a method has chosen, best first: its scores say which they are."""
    scores = read_parquet(run.scores_file(label), ["id", "rank", "selected"]).to_pylist()
    return [row["id"] for row in sorted(scores, key=lambda row: row["rank"]) if row["selected"]]


def _prompts(run: RunDir, label: str) -> list[Prompt]:
    return stored_prompts(run).named(chosen_ids(run, label))
