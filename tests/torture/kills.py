"""Kills: every command is killed at random moments and given again; what it leaves is what it leaves undisturbed."""

from __future__ import annotations

import functools
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.torture.commands import COMMANDS
from tests.torture.contents import broken, lost
from tests.torture.places import Place, watch
from tests.torture.processes import Process
from tests.torture.trials import Outcome, Trial

KILLS = {**dict.fromkeys(COMMANDS, 8), "run": 15}
ASKED = 3  # SIGTERM and SIGINT per command
NAMES = list(COMMANDS)  # states to make first


def trials() -> list[Trial]:
    return list(_trials())


def _trials() -> Iterator[Trial]:
    for number in range(max(KILLS.values())):
        for name in COMMANDS:
            if number < KILLS[name]:
                yield _trial(name, signal.SIGKILL, number)
            if number < ASKED:
                yield _trial(name, signal.SIGTERM, number)
                yield _trial(name, signal.SIGINT, number)


def _trial(name: str, number: signal.Signals, moment: int) -> Trial:
    return Trial(f"{number.name} {name} {moment}", functools.partial(attack, command=name, number=number))


def attack(place: Place, name: str, command: str, number: signal.Signals) -> list[Outcome]:
    """Kill `command` at the moment that the trial's name stands for, look at what is left, and give it again."""
    place.state(command)
    place.set_back(COMMANDS[command].after)
    process = place.start(COMMANDS[command].line)
    _wait(place, process, command, number, random.Random(name))
    hit = process.is_running()
    process.send(number, group=number != signal.SIGTERM)
    result = process.finish()
    problems = [f"{line} is left running" for line in process.orphans()]
    if hit and number == signal.SIGINT:
        problems += result.problems(130, 0)
    elif hit and number == signal.SIGTERM:
        problems += result.problems(143, 130, -signal.SIGTERM, 1, 0)
    problems += _damage(place, command)
    done = _finished(place, command)
    problems += place.resume(command)
    if any(_stamp(path) != stamp for path, stamp in done.items() if path.is_file()):
        problems.append("a finished shard was made again")
    return [Outcome(name, problems, f"{number.name} {'hit' if hit else 'came too late'}")]


def _wait(place: Place, process: Process, command: str, number: signal.Signals, random_: random.Random) -> None:
    """Wait for a moment between two changes of the directory, or now and then for one before the first of them.

    Changes are counted, not seconds: they crowd where it matters, and a busy machine does not move them.
    """
    moments = place.moments[command]
    if number == signal.SIGKILL and random_.random() < 0.1:
        time.sleep(random_.uniform(0, moments[0]))
        return
    chosen = random_.randrange(len(moments) - 1)
    watch(place.run, process, chosen + 1)
    time.sleep(random_.uniform(0, moments[chosen + 1] - moments[chosen]))


def _damage(place: Place, command: str) -> list[str]:
    """What the kill broke: files that are neither old nor new, or old results that are gone."""
    after, before = place.state_made(command), COMMANDS[command].after
    states = [after] if before is None else [after, place.state_made(before)]
    problems = broken(place.run, *states)
    gone = lost(place.state_made(before), place.run) if before is not None else []
    if gone and (not COMMANDS[command].overwrites or lost(after, place.run)):
        problems += gone
    return [f"after the signal: {problem}" for problem in problems[:5]]


def _finished(place: Place, command: str) -> dict[Path, tuple[int, int]]:
    """The shards that are there; under their final names they are done."""
    pattern = COMMANDS[command].shards
    return {path: _stamp(path) for path in place.run.glob(pattern)} if pattern else {}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns
