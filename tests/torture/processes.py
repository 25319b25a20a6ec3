"""The command line as real processes: each one leads a session of its own, so that a signal can reach all of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "LEARNALIGN_TORTURE"  # children inherit it: whoever has it belongs to the command
LONGEST = 300.0  # seconds after which a command counts as hanging
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
TRUST = "XDG_STATE_HOME"  # where the program notes what its user trusts: not the user's own


@dataclass(frozen=True)
class Result:
    """How a command ended: `code` is None if it hung, negative if a signal ended it."""

    code: int | None
    stdout: str
    stderr: str

    def problems(self, *codes: int) -> list[str]:
        """What is wrong with the ending, if `codes` are the right ones and errors are to be one message."""
        problems = []
        if self.code is None:
            problems.append(f"still running after {LONGEST:g} s")
        elif self.code not in codes:
            problems.append(f"exit {self.code}: {self.last_line()}")
        if "Traceback (most recent call last)" in self.stderr:
            problems.append(
                "traceback: " + " / ".join(self.stderr[self.stderr.rfind("Traceback (most") :].splitlines()[-12:])
            )
        if self.code in (1, 2) and self.code in codes and not self.message():
            problems.append(f"exit {self.code} without a word")
        return problems

    def message(self) -> str:
        """The error message, with the lines that go on it."""
        at = self.stderr.rfind("learnalign: ")
        return self.stderr[at:].strip() if at >= 0 else ""

    def last_line(self) -> str:
        lines = [line for line in self.stderr.splitlines() if any(letter.isalnum() for letter in line)]
        return lines[-1][:300] if lines else "(no message)"


class Process:
    """`learnalign ARGUMENTS` in the directory `here`; its output goes to files, since a pipe would outlive it."""

    def __init__(self, arguments: Sequence[str], here: Path, outputs: Path, **environment: str) -> None:
        self._started = time.monotonic()
        self._mark = secrets.token_hex(8)
        self._stdout, self._stderr = outputs / f"{self._mark}.stdout", outputs / f"{self._mark}.stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "learnalign_cli", *arguments],
                cwd=here,
                env={**os.environ, **QUIET, TRUST: str(outputs), MARK: self._mark, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals, *, group: bool) -> None:
        """Signal the command, or all of its process group."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self._process.pid, number)

    def finish(self) -> Result:
        """Wait for the end; a command that hangs is killed."""
        code: int | None
        try:
            code = self._process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            code = None
            self.send(signal.SIGKILL, group=True)
            self._process.wait()
        stdout, stderr = (file.read_text(errors="replace") for file in (self._stdout, self._stderr))
        self._stdout.unlink()
        self._stderr.unlink()
        return Result(code, stdout, stderr)

    def orphans(self, patience: float = 10.0) -> list[str]:
        """Command lines of the processes that are left of the command after some seconds; they are killed."""
        end = time.monotonic() + patience
        while (
            left := [process for process in psutil.process_iter() if self._owns(process)]
        ) and time.monotonic() < end:
            time.sleep(0.1)
        lines = []
        for process in left:
            with contextlib.suppress(psutil.Error):
                lines.append(" ".join(process.cmdline())[:80])
                process.kill()
        return lines

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False
