"""One command as a process of its own, so that its GPU memory is given back; if it fails, this command ends with its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .common import DEBUG, debugging

if TYPE_CHECKING:
    from learnalign.rundir import RunDir


def perform(command: str, run: RunDir, label: str = "", arguments: Sequence[str] = (), **options: Any) -> None:
    """Run `learnalign command` on a run directory, with `--option value` for each option.

    If the value is True, that is `--option` alone; of a list, one for each value; nothing if it is None or False.
    It has this process's lock on the directory, if there is one.
    """
    print(f"learnalign: {label}{command}", file=sys.stderr, flush=True)
    line = [sys.executable, "-m", "learnalign_cli", command, str(run.path), *arguments, "--json"]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one is not False:
                line += [f"--{option}"] if one is True else [f"--{option}", str(one)]
    if debugging():
        line.append(DEBUG)
    variables, descriptors = run.handed_lock()
    code = subprocess.run(
        line,
        stdout=subprocess.DEVNULL,
        check=False,
        env={**os.environ, **variables},
        pass_fds=descriptors,
    ).returncode
    if code:
        raise SystemExit(code if code > 0 else 1)
