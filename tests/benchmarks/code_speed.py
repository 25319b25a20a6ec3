"""Programs judged a second in the sandbox, against a bare interpreter per test without one: `python -m tests.benchmarks.code_speed`.

Both run the same programs on the same ten short inputs, one program per CPU at a time, alternately in one run.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from learnalign.verify import Item, open_verifier
from learnalign.verify.workers import usable_cpus

RESULTS = Path(__file__).parent / "results" / "code_speed.json"
PROGRAMS, TESTS, ROUNDS = 120, 10, 5
PROGRAM = """
import sys
from collections import Counter

words = sys.stdin.read().split()
print(Counter(words).most_common(1)[0][0], len(words))
"""
INPUTS = [f"{'a b ' * n}{'c ' * (3 * n)}\n" for n in range(1, TESTS + 1)]
EXPECTED = [f"c {5 * n}\n" for n in range(1, TESTS + 1)]
GOLD = json.dumps({"tests": [{"stdin": i, "stdout": o} for i, o in zip(INPUTS, EXPECTED, strict=True)]})


def main() -> None:
    programs = [f"{PROGRAM}# {number}\n" for number in range(PROGRAMS)]
    sides: dict[str, Callable[[list[str]], list[bool]]] = {"sandbox": in_sandbox, "bare": bare}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, judge in sides.items():
            began, used = time.perf_counter(), _cpu()
            assert all(judge(programs)), name
            seconds[name].append((time.perf_counter() - began, _cpu() - used))
    figures = {
        name: {
            "completions a second, median": round(PROGRAMS / statistics.median(wall for wall, _ in each), 1),
            "CPU ms a completion, median": round(1000 * statistics.median(cpu for _, cpu in each) / PROGRAMS, 1),
        }
        for name, each in seconds.items()
    }
    cpu = [own[1] / other[1] for own, other in zip(seconds["sandbox"], seconds["bare"], strict=True)]
    result = {
        "machine": f"{usable_cpus()} CPUs, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        "bubblewrap": subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
        "programs": PROGRAMS,
        "tests of each": TESTS,
        "rounds": ROUNDS,
        **figures,
        "CPU, sandbox / bare, median": round(statistics.median(cpu), 2),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def in_sandbox(programs: list[str]) -> list[bool]:
    """The verifier, opened anew."""
    with open_verifier("code", sandbox="local") as verifier:
        verdicts = verifier.score([Item(f"```python\n{program}```", GOLD) for program in programs])
    return [verdict.reward == 1.0 for verdict in verdicts]


def bare(programs: list[str]) -> list[bool]:
    """A process of Python for each test, as quick as it starts (-I -S), without any protection."""

    def judge(program: str) -> bool:
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write(program)
            file.flush()
            command = [sys._base_executable, "-I", "-S", file.name]  # type: ignore[attr-defined]
            outputs = [
                subprocess.run(command, input=given, capture_output=True, text=True, timeout=6, check=True).stdout
                for given in INPUTS
            ]
        return outputs == EXPECTED

    with ThreadPoolExecutor(usable_cpus()) as threads:
        return list(threads.map(judge, programs))


def _cpu() -> float:
    """CPU seconds of the whole machine, since bubblewrap's children are nobody's: run this on a quiet one."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


if __name__ == "__main__":
    main()
