"""Hostile programs, one at a time beside honest ones: what each got, what it left, and what became of the honest ones."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil

from learnalign.verify import Item, Verdict, open_verifier
from tests.torture.trials import Outcome
from tests.verify.code.hostile import Hostile
from tests.verify.code.hostile.outside import Outside

SECONDS = 1.0  # of a test
PATIENCE = 5.0  # seconds until a killed process counts as left
TESTS = '{"tests": [{"stdin": "1 2\\n", "stdout": "3\\n"}]}'
HONEST = [
    (Item("```python\nprint(sum(map(int, input().split())))\n```", TESTS), 1.0),
    (Item("```python\nprint(input())\n```", TESTS), 0.0),
    (
        Item(
            "```python\ndef f(a, b): return a + b\n```", '{"entry_point": "f", "tests": [{"call": [1, 2], "value": 3}]}'
        ),
        1.0,
    ),
    (Item("```python\ndef f(a, b): return a - b\n```", '{"entry_point": "f", "tests": ["assert f(1, 2) == 3"]}'), 0.0),
]


def attack(hostile: Hostile, host: Outside) -> Outcome:
    """Have a hostile program judged; its problems are all that it got or did."""
    host.look()
    before = running()
    completion, gold = hostile.completion(host.facts, host.secret), hostile.gold(host.facts, host.secret, SECONDS)
    with open_verifier("code", sandbox="local") as verifier:
        verdict, *others = verifier.score([Item(completion, gold), *(item for item, _ in HONEST)])
    problems = [f"{line} is left running" for line in left(before)]
    if verdict.reward != 0.0:
        problems.append(f"its reward is {verdict.reward}: {verdict.reason}")
    if host.secret in verdict.reason or (host.secret in (verdict.answer or "") and host.secret not in completion):
        problems.append("the secret stands in its verdict")
    problems += _honest(others) + host.changes()
    return Outcome(hostile.name, problems, verdict.reason.removeprefix("test 1 of 1: ").partition(":")[0])


def _honest(verdicts: Sequence[Verdict]) -> list[str]:
    return [
        f"an honest program beside it got {verdict.reward}, not {right}: {verdict.reason}"
        for verdict, (_, right) in zip(verdicts, HONEST, strict=True)
        if verdict.reward != right
    ]


def running() -> set[tuple[int, float]]:
    """Every process that is seen from here, but zombies."""
    seen = set()
    for process in psutil.process_iter(["status", "create_time"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE:
            seen.add((process.pid, process.info["create_time"]))
    return seen


def left(before: set[tuple[int, float]]) -> list[str]:
    """Names of the processes that were not there before and stay; they are killed."""
    end = time.monotonic() + PATIENCE
    while (stay := running() - before) and time.monotonic() < end:
        time.sleep(0.05)
    lines = []
    for pid, _ in stay:
        try:
            process = psutil.Process(pid)
            lines.append(" ".join(process.cmdline())[:80] or process.name())
            process.kill()
        except psutil.Error:
            continue
    return lines
