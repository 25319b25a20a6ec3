"""Whether a run's choice is as `select` would make it now; knows no method, and needs no torch."""

from __future__ import annotations

from learnalign.rundir import RunDir
from learnalign.rundir.stages import digest_of


def is_chosen(run: RunDir) -> bool:
    """Whether the subset of `select.method` is stored, undamaged, and of the present settings and success rates.

    False for a method that reads a signal, and for a choice that options of `select` changed: those are made again.
    """
    entry = run.read_record()["stages"].get("select", {}).get("methods", {}).get(run.config.select.method)
    if entry is None or not run.is_finished("select", read=True):
        return False
    made_of, options, settings = entry.get("made_of", {}), entry["options"], run.config.select
    success = digest_of(run.success_file) if run.success_file.is_file() else None
    return (
        (made_of.get("size"), made_of.get("success"), made_of.get("signal")) == (settings.size, success, None)
        and (options["format"], options["fill"], options["diversity"]) == (settings.format, False, None)
        and run.subset_file(settings.method).is_file()
        and run.scores_file(settings.method).is_file()
    )
