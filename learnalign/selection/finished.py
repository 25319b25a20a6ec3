"""Whether a run's choice is as `select` would make it now; knows no method, and needs no torch."""

from __future__ import annotations

from typing import Any

from learnalign.config import Config
from learnalign.rundir import RunDir
from learnalign.rundir.stages import digest_of


def is_chosen(run: RunDir, *, by_options: bool = False) -> bool:
    """Whether the subset of `select.method` is stored, undamaged, and of the present settings and success rates.

    `by_options` also takes one that options of `select` chose while the settings were the present ones. False for a method that
    reads a signal: it is chosen again.
    """
    entry, settings = _entry(run), run.config.select
    if not entry or not run.is_finished("select", read=True):
        return False
    made_of, options = entry.get("made_of", {}), entry["options"]
    success = digest_of(run.success_file) if run.success_file.is_file() else None
    made_by = (made_of.get("size"), options["format"], options["fill"], options["diversity"])
    by_settings = made_by == (settings.size, settings.format, False, None)
    return (
        (by_settings or (by_options and made_of.get("settings") == choice_settings(run.config)))
        and (made_of.get("success"), made_of.get("signal")) == (success, None)
        and run.subset_file(run.own_label).is_file()
        and run.scores_file(run.own_label).is_file()
    )


def choice_settings(config: Config) -> dict[str, Any]:
    """The settings in whose place `select` has options that change the subset of a method."""
    return {"size": config.select.size, "format": config.select.format}


def options_of(run: RunDir) -> str:
    """The options of `select` that chose the stored subset of `select.method` otherwise than the settings then; empty if none."""
    entry = _entry(run)
    made_of, options = entry.get("made_of", {}), entry.get("options", {})
    settings = made_of.get("settings", {})
    words = [f"-n {made_of['size']:g}"] if settings and made_of["size"] != settings["size"] else []
    words += [f"--format {options['format']}"] if settings and options["format"] != settings["format"] else []
    return " ".join([*words, *(["--fill"] if options.get("fill") else [])])


def _entry(run: RunDir) -> dict[str, Any]:
    """What select has recorded of `select.method`; empty if it has not run."""
    return dict(run.read_record()["stages"].get("select", {}).get("methods", {}).get(run.own_label, {}))
