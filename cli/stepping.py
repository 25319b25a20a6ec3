"""One command as a process of its own, so that its GPU memory is given back; if it fails, this command ends with its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learnalign.errors import RunError
from learnalign.isolation import environment, python

from .common import DEBUG, debugging
from .stopping import LIFELINE, held


def perform(command: str, directory: Path, label: str = "", **options: Any) -> None:
    """Run `learnalign command directory` with `--option value` for each option, `--option` alone if the value is True."""
    print(f"learnalign: {label}{command}", file=sys.stderr, flush=True)
    arguments = [command, str(directory), "--json"]
    for option, value in options.items():
        arguments += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    if debugging():
        arguments.append(DEBUG)
    code = _run(arguments)
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (the system may have run out of memory)" if name == "SIGKILL" else ""
        raise RunError(f"{command}: its process was ended by {name}{hint}; run the same command again to resume")
    if code:
        raise SystemExit(code)


def _run(arguments: Sequence[str]) -> int:
    """The exit status of `learnalign arguments`. It ends with this process: by its signal, or when the pipe to it closes."""
    far_end, near_end = os.pipe()
    try:
        with held():
            process = subprocess.Popen(
                python("-m", "learnalign_cli", *arguments),
                stdout=subprocess.DEVNULL,
                env={**environment(), LIFELINE: str(far_end)},
                pass_fds=[far_end],
            )
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()  # `stopping` limits its time, and ours
            raise
    finally:
        os.close(far_end)
        os.close(near_end)
