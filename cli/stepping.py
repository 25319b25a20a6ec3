"""One command as a process of its own, so that its GPU memory is given back; its failure ends this command, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def perform(command: str, directory: Path, label: str = "", **options: Any) -> None:
    """Run `learnalign command directory` with `--option value` each, or `--option` alone where it is True."""
    print(f"learnalign: {label}{command}", file=sys.stderr, flush=True)
    arguments = [sys.executable, "-m", "learnalign_cli", command, str(directory), "--json"]
    for option, value in options.items():
        arguments += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    if "--debug" in sys.argv:
        arguments.append("--debug")
    code = subprocess.run(arguments, stdout=subprocess.DEVNULL, check=False).returncode
    if code:
        raise SystemExit(code if code > 0 else 1)
