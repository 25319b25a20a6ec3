"""One command as a process of its own, so that its GPU memory is given back; if it fails, this command ends with its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from learnalign.errors import RunError
from learnalign.isolation import environment, python

from .common import DEBUG, debugging
from .stopping import LIFELINE, held

if TYPE_CHECKING:
    from learnalign.rundir import RunDir


SAMPLING = ("warmup", "rollout", "grad")  # the commands that take --anyway


def perform(command: str, run: RunDir, label: str = "", arguments: Sequence[str] = (), **options: Any) -> None:
    """Run `learnalign command` on a run directory, with `--option value` for each option.

    If the value is True, that is `--option` alone; of a list, one for each value; nothing if it is None or False.
    It has this process's lock on the directory, if there is one.
    """
    print(f"learnalign: {label}{command}", file=sys.stderr, flush=True)
    line = [command, str(run.path), *arguments, "--json"]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one is not False:
                line += [f"--{option}"] if one is True else [f"--{option}", str(one)]
    if debugging():
        line.append(DEBUG)
    code = _run(line, *run.handed_lock())
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (the system may have run out of memory)" if name == "SIGKILL" else ""
        raise RunError(f"{command}: its process was ended by {name}{hint}; run the same command again to resume")
    if code:
        raise SystemExit(code)


def _run(arguments: Sequence[str], variables: dict[str, str], descriptors: Sequence[int]) -> int:
    """The exit status of `learnalign arguments`. It ends with this process: by its signal, or when the pipe to it closes."""
    far_end, near_end = os.pipe()
    try:
        with held():
            process = subprocess.Popen(
                python("-m", "learnalign_cli", *arguments),
                stdout=subprocess.DEVNULL,
                env={**environment(), **variables, LIFELINE: str(far_end)},
                pass_fds=[far_end, *descriptors],
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
