"""Paths inside a run directory, written relative to it, so that a run directory can be moved and copied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

RUN = "{run}/"  # stands for the directory that config.yaml is in
PATHS = ("model.name", "model.adapter", "model.reference", "data.path", "data.few_shot")
NEXT = ".next"  # holds the results of an unfinished `--overwrite`; they are named as they will be


def portable(settings: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Nested or flat `settings` with every path inside the outermost run directory around `directory` relative to it."""
    home, here = _home(directory), final_path(directory)

    def relative(value: Any) -> Any:
        if not isinstance(value, str) or not os.path.isabs(value):
            return value
        path = Path(os.path.realpath(value))
        return RUN + os.path.relpath(final_path(path), here) if path.is_relative_to(home) else value

    return _mapped(settings, relative)


def located(settings: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The reverse of `portable`: paths as they are now."""
    here = Path(os.path.abspath(directory))

    def absolute(value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith(RUN):
            return value
        own = Path(os.path.normpath(here / value.removeprefix(RUN)))
        return str(own if own.exists() else Path(os.path.normpath(final_path(here) / value.removeprefix(RUN))))

    return _mapped(settings, absolute)


def _mapped(settings: dict[str, Any], change: Any) -> dict[str, Any]:
    changed = {key: change(value) if key in PATHS else value for key, value in settings.items()}
    for section in {path.partition(".")[0] for path in PATHS}:
        if isinstance(inner := changed.get(section), dict):
            changed[section] = {
                key: change(value) if f"{section}.{key}" in PATHS else value for key, value in inner.items()
            }
    return changed


def _home(directory: Path) -> Path:
    """The outermost run directory that holds `directory`."""
    home = Path(os.path.realpath(directory))
    while outer := [up for up in [*home.parents][:3] if (up / "config.yaml").is_file() and (up / "run.json").is_file()]:
        home = outer[-1]
    return home


def final_path(path: Path) -> Path:
    """Where it will be when what is unfinished takes its place."""
    return Path(*[part for part in Path(os.path.realpath(path)).parts if part != NEXT])
