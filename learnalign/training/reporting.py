"""Where a training's metrics go besides metrics.jsonl (`report_to`); nothing leaves the machine unless it is asked for."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from learnalign.config import GrpoConfig, final_path
from learnalign.errors import InputError

PLACE = "TENSORBOARD_LOGGING_DIR"


def reporters(settings: GrpoConfig, section: str) -> list[str]:
    """TRL's `report_to`; raises InputError if a package for it is missing."""
    wanted = [settings.report_to] if isinstance(settings.report_to, str) else settings.report_to
    wanted = [name for name in dict.fromkeys(wanted) if name != "none"]
    missing = [name for name in wanted if not is_installed(name)]
    if missing:
        raise InputError(
            f"{section}.report_to: {' and '.join(missing)} not installed: pip install {' '.join(missing)}, or set it to none"
        )
    return wanted


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


@contextlib.contextmanager
def logs_in(directory: Path, section: str) -> Iterator[None]:
    """TensorBoard's writer, made in the block, writes to DIR/logs unless the environment names a place; its default is the
    current directory.
    """
    if PLACE in os.environ:
        yield
        return
    os.environ[PLACE] = str(final_path(directory) / "logs" / section)
    try:
        yield
    finally:
        del os.environ[PLACE]  # the next training has logs of its own
