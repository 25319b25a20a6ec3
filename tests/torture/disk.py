"""Disks that fail: full, read-only, gone in the middle, and an error in the middle of every kind of write.

Each command ends with exit 1 and one message that names a path; nothing broken stays under a final name, nothing half-written
stays at all, and when the disk is well again the same command ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.torture.commands import COMMANDS
from tests.torture.contents import broken, is_temporary
from tests.torture.faults import calls_of, kind_of, preloaded
from tests.torture.places import Place, watch
from tests.torture.processes import Result
from tests.torture.trials import Outcome, Skipped, Trial

NAMES = [
    "warmup",
    "rollout",
    "import",
    "grad",
    "exact",
    "signal",
    "select",
    "compare",
    "train",
    "eval",
    "select --overwrite",
]
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
FAULTS, FULL, GONE = 4, 2, 1  # trials per command (FAULTS: and error)
PAGE = os.sysconf("SC_PAGE_SIZE")


def trials() -> list[Trial]:
    return list(_trials())


def _trials() -> Iterator[Trial]:
    for turn in range(FAULTS):
        for name in NAMES:
            for error in ERRORS:
                yield Trial(f"{error} in {name} {turn}", functools.partial(attack_write, command=name, error=error))
            if turn < FULL:
                yield Trial(f"full disk in {name} {turn}", functools.partial(attack_full, command=name))
            if turn < GONE:
                yield Trial(f"read-only in {name} {turn}", functools.partial(attack_read_only, command=name))
                yield Trial(f"directory gone in {name} {turn}", functools.partial(attack_gone, command=name))


def attack_write(place: Place, name: str, command: str, error: str) -> list[Outcome]:
    """Let one write fail, chosen among the kinds of writes that the command makes undisturbed."""
    calls = calls_of(place, command)
    random_ = random.Random(name)
    kind = random_.choice(sorted({kind_of(*each) for each in calls}))
    call, path = random_.choice([each for each in calls if kind_of(*each) == kind])
    at = [each for each in calls if each[0] == call].index((call, path)) + 1
    place.set_back(COMMANDS[command].after)
    fault = {"TORTURE_CALL": call, "TORTURE_AT": str(at), "TORTURE_ERRNO": str(ERRORS[error])}
    result = place.finish(COMMANDS[command].line, **preloaded(place), **fault)
    problems = _refused(place, result) + _left(place, command) + place.resume(command)
    return [Outcome(name, [f"{kind}: {problem}" for problem in problems], f"{call} failed")]


def attack_full(place: Place, name: str, command: str) -> list[Outcome]:
    """A disk that has less room than the command needs; then there is more."""
    before, after = COMMANDS[command].after, _size(place.state(command))
    start = _size(place.state(before)) if before else 0
    with _mounted(place, "64m"):
        place.set_back(before)
        needed = max(after - start, 16 * PAGE)  # what is replaced is made beside the old
        room = shutil.disk_usage(place.here).used + random.Random(name).uniform(0.1, 0.9) * needed
        _remount(place, f"size={int(room // PAGE + 1) * PAGE}")
        result = place.finish(COMMANDS[command].line)
        problems = _left(place, command)
        if result.code != 0:
            problems += _refused(place, result)
        _remount(place, "size=64m")
        problems += place.resume(command)
    return [Outcome(name, problems, "disk full" if result.code else "had room enough")]


def attack_read_only(place: Place, name: str, command: str) -> list[Outcome]:
    """A directory that cannot be written."""
    place.state(command)
    with _mounted(place, "64m"):
        place.set_back(COMMANDS[command].after)
        place.run.mkdir(exist_ok=True)
        _remount(place, "ro")
        problems = _refused(place, place.finish(COMMANDS[command].line))
        _remount(place, "rw")
        problems += place.resume(command)
    return [Outcome(name, problems, "read-only")]


def attack_gone(place: Place, name: str, command: str) -> list[Outcome]:
    """The directory is moved away at some moment; then it is back."""
    place.state(command)
    place.set_back(COMMANDS[command].after)
    random_, moments = random.Random(name), place.moments[command]
    process = place.start(COMMANDS[command].line)
    chosen = random_.randrange(len(moments) - 1)
    watch(place.run, process, chosen + 1)
    time.sleep(random_.uniform(0, moments[chosen + 1] - moments[chosen]))
    away = place.here / "away"
    place.run.rename(away)
    result = process.finish()
    problems = result.problems(0, 1, 2)
    shutil.rmtree(place.run, ignore_errors=True)
    away.rename(place.run)
    return [Outcome(name, problems + place.resume(command), f"gone: exit {result.code}")]


def _refused(place: Place, result: Result) -> list[str]:
    """Problems if this is not exit 1 with one line that names a path of the run directory."""
    problems = result.problems(1)
    message = result.message()
    if (
        not problems
        and str(place.run) not in message
        and not re.search(r"\brun\b(/|:|\s)", message.replace("run the", ""))
    ):
        problems = [f"no path in: {message}"]
    if not problems and "\n" in message:
        problems = [f"more than a line: {message}"]
    return problems


def _left(place: Place, command: str) -> list[str]:
    """What the failure left that it must not: half-written files, wrong bytes under final names."""
    before = COMMANDS[command].after
    states = [place.state_made(command), *([place.state_made(before)] if before else [])]
    temporary = [path for path in place.run.rglob("*") if is_temporary(path.name)]
    left = [f"{path.relative_to(place.run)} is left over" for path in temporary]
    return [f"after the error: {problem}" for problem in (left + broken(place.run, *states))[:3]]


@contextlib.contextmanager
def _mounted(place: Place, size: str) -> Iterator[None]:
    """A disk of its own, in memory, at the place."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "torture", str(place.here)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        raise Skipped("full and read-only disks need the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place.here)], check=True)


def _remount(place: Place, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(place.here)], check=True)


def _size(folder: Path) -> int:
    """Room that the files and directories take on a disk in memory."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())
