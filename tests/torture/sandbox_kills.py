"""Killed at random: `learnalign verify` while it judges programs, and the sandboxes under it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.torture.processes import QUIET
from tests.torture.sandbox_attacks import left, running
from tests.torture.trials import Outcome

ROWS = 200
KILLS = 10  # of the command, by each signal
SANDBOX_KILLS = 10  # runs in which sandboxes are killed
SHARE_KILLED = 0.05
LONGEST = 300.0  # seconds after which a command hangs
BOX = "bwrap"


def outcomes(folder: Path, share: float) -> Iterator[Outcome]:
    """Kill the command, then the sandboxes under it; `share` of the trials."""
    folder.mkdir()
    file = folder / "completions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    whole = _undisturbed(file)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        for moment in range(max(1, int(KILLS * share))):
            yield _kill_command(file, number, moment, whole)
    for moment in range(max(1, int(SANDBOX_KILLS * share))):
        yield _kill_sandboxes(file, moment)


def rows() -> list[dict[str, str | float]]:
    """Completions with golds of every shape, and the reward that is right."""
    golds = [
        (
            "print(sum(map(int, input().split())){})",
            {"tests": [{"stdin": f"{n} 2\n", "stdout": f"{n + 2}\n"} for n in range(5)]},
        ),
        (
            "def f(a, b): return a + b{}",
            {"entry_point": "f", "tests": [{"call": [n, 2], "value": n + 2} for n in range(5)]},
        ),
        (
            "def f(a, b): return a + b{}",
            {"entry_point": "f", "tests": [f"assert f({n}, 2) == {n + 2}" for n in range(5)]},
        ),
    ]
    made: list[dict[str, str | float]] = []
    for n in range(ROWS):
        program, gold = golds[n % len(golds)]
        right = n % 2 == 0
        text = program.format("" if right else f" + {n}")
        made.append({"completion": f"```python\n{text}\n```", "answer": json.dumps(gold), "right": float(right)})
    return made


def _start(file: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "learnalign_cli", "verify", str(file), "--verifier", "code", "--sandbox", "local"]
    with output.with_suffix(".stderr").open("wb") as errors:
        return subprocess.Popen(
            [*command, "-o", str(output)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env={**os.environ, **QUIET},
        )


def _undisturbed(file: Path) -> float:
    """Seconds of the command when nobody disturbs it."""
    began = time.monotonic()
    output = file.with_name("undisturbed.jsonl")
    code = _start(file, output).wait(LONGEST)
    assert code == 0, output.with_suffix(".stderr").read_text()[-500:]
    assert not _wrong(output), _wrong(output)
    return time.monotonic() - began


def _wrong(output: Path) -> list[str]:
    """Rows of the output whose reward is not the right one."""
    scored = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    problems = [] if len(scored) == ROWS else [f"{len(scored)} of {ROWS} rows"]
    wrong = [row for row in scored if row["reward"] != row["right"]]
    return problems + [f"{len(wrong)} wrong rewards, one {row['reward']}: {row['reason']}" for row in wrong[:1]]


def _kill_command(file: Path, number: signal.Signals, moment: int, whole: float) -> Outcome:
    before, output = running(), file.with_name("killed.jsonl")
    process = _start(file, output)
    while process.poll() is None and not _answers_signals(process.pid):
        time.sleep(0.01)
    time.sleep(random.Random(f"{number} {moment}").uniform(0.0, whole))
    hit = process.poll() is None
    process.send_signal(number)
    process.wait(LONGEST)
    problems = [f"{line} is left running" for line in left(before)]
    errors = output.with_suffix(".stderr").read_text(errors="replace")
    if "Traceback" in errors:
        problems.append("traceback: " + " / ".join(errors[errors.index("Traceback") :].splitlines()[-8:]))
    return Outcome(f"{number.name} {moment}", problems, f"{number.name} {'hit' if hit else 'came too late'}")


def _answers_signals(pid: int) -> bool:
    """Whether the process has a handler of SIGTERM; before, Python itself answers."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def _kill_sandboxes(file: Path, moment: int) -> Outcome:
    """Kill one sandbox in twenty, by one of the processes that make it up; all goes on, and every verdict is right."""
    before, output, random_ = running(), file.with_name("wounded.jsonl"), random.Random(moment)
    process, seen, killed = _start(file, output), set[int](), 0
    while process.poll() is None:
        time.sleep(0.01)
        for box in _boxes(process.pid, seen):
            first = not seen  # the trial: without one that starts, the command ends with a word
            seen.add(box.pid)
            if not first and random_.random() < SHARE_KILLED:
                killed += _kill_one(box, random_)
    problems = [f"{line} is left running" for line in left(before)]
    if process.returncode:
        problems.append(f"exit {process.returncode}: {output.with_suffix('.stderr').read_text()[-300:]}")
    else:
        problems += _wrong(output)
    return Outcome(f"sandboxes {moment}", problems, "sandboxes killed" if killed else "no sandbox was killed")


def _boxes(pid: int, seen: set[int]) -> list[psutil.Process]:
    """New sandboxes of the command."""
    try:
        return [each for each in psutil.Process(pid).children() if each.pid not in seen and each.name() == BOX]
    except psutil.Error:
        return []


def _kill_one(box: psutil.Process, random_: random.Random) -> bool:
    time.sleep(random_.uniform(0.0, 0.1))
    try:
        random_.choice([box, *box.children(recursive=True)[:2]]).kill()
    except psutil.Error:
        return False
    return True
