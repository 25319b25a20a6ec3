"""One command as a process of its own, so that its GPU memory is given back; if it fails, this command ends with its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from .common import DEBUG, debugging


def perform(command: str, directory: Path, label: str = "", **options: Any) -> None:
    """Run `learnalign command directory` with `--option value` for each option, `--option` alone if the value is True."""
    print(f"learnalign: {label}{command}", file=sys.stderr, flush=True)
    arguments = [sys.executable, "-m", "learnalign_cli", command, str(directory), "--json"]
    for option, value in options.items():
        arguments += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    if debugging():
        arguments.append(DEBUG)
    code = subprocess.run(arguments, stdout=subprocess.DEVNULL, check=False).returncode
    if code:
        raise SystemExit(code if code > 0 else 1)
