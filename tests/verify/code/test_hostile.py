"""Hostile programs: without a sandbox they get the secret, in one they get nothing; and each way that one of them once found."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from learnalign.verify import Item, Verifier, open_verifier
from learnalign.verify.code import box, local
from learnalign.verify.code.box import Box, BoxEnded
from learnalign.verify.code.inside import wire
from learnalign.verify.code.local import LocalSandbox
from learnalign.verify.code.program import Program, find_program
from learnalign.verify.code.sandbox import Done, Job, Limits, SandboxFailed
from tests.torture import guard
from tests.verify.code.hostile import HOSTILE, KINDS, Hostile
from tests.verify.code.hostile.outside import Outside, outside

BARE = [hostile for hostile in HOSTILE if hostile.bare]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("host")) as host:
        yield host


def test_names_are_unique_and_there_are_forty_and_more() -> None:
    assert max(Counter(hostile.name for hostile in HOSTILE).values()) == 1
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("hostile", BARE, ids=lambda hostile: hostile.name)
def test_an_attack_gets_the_secret_without_a_sandbox(hostile: Hostile, host: Outside, tmp_path: Path) -> None:
    source = hostile.source(host.facts, host.secret)
    command = [sys.executable, "-c", source]
    if hostile.language == "cpp":
        if shutil.which("g++") is None:
            pytest.skip("no g++ here")
        (tmp_path / "a.cpp").write_text(source)
        built = subprocess.run(
            ["g++", "-o", tmp_path / "a", tmp_path / "a.cpp"], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
        command = [str(tmp_path / "a")]
    facts = json.dumps(host.facts) + "\n"
    done = subprocess.run(command, input=facts, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [host.secret], done.stderr


@pytest.mark.slow
def test_a_few_of_each_kind_get_nothing_and_leave_nothing(sandbox_here: None) -> None:
    """Behind the limits of `make torture-sandbox`, which runs them all."""
    if reason := guard.why_not():
        pytest.skip(reason)
    command = [sys.executable, "-m", "tests.torture.sandbox", *KINDS, "--share", "0.05"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def job(program: str, *tests: dict[str, Any], **limits: Any) -> Job:
    return Job(program=program, language="python", prelude="", tests=tests, limits=Limits(**limits))


@pytest.mark.parametrize("line", ["```" + " " * 300_000 + "`", "```" + "x" * 300_000 + "`", "`" * 300_000 + "x`"])
def test_a_fence_is_read_in_linear_time(line: str) -> None:
    assert find_program(f"{line}\n```python\nprint()\n```\n{line}\n", "python") == Program("print()\n", "python")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"list": [1, {"tuple": ["a", None]}, {"list": []}]}, [1, ["a", None], []]),
        ({"dict": [["a", {"int": "-0x10"}], [7, True]]}, {"a": -16, "7": True}),
        (1.5, 1.5),
    ],
)
def test_plain_data_is_read_where_nothing_is_trusted(data: Any, value: Any) -> None:
    assert wire.plain(data) == value


@pytest.mark.parametrize(
    "data",
    [
        {"set": [1]},
        {"frozenset": []},
        {"array": [1]},
        {"object": 0},
        {"iterator": [1]},
        {"bytes": "AA=="},
        {"dict": [[1, 2], ["1", 3]]},
        {"dict": [[None, 2]]},
        {"dict": [[{"set": []}, 2]]},
    ],
)
def test_what_is_no_plain_data_equals_nothing(data: Any) -> None:
    assert type(wire.plain(data)) is object


@pytest.mark.parametrize(
    "program",
    [
        "import os, time\ndef f(x):\n    while True:\n        for fd in range(3, 64):\n            try: os.write(fd, b'.')\n"
        "            except OSError: pass\n        time.sleep(0.05)",
        "import time\ntime.sleep(1e6)",
    ],
    ids=["answers in drops", "never reads"],
)
def test_an_answer_that_never_comes_takes_no_longer_than_a_test_may(program: str, sandbox: LocalSandbox) -> None:
    session = job(program, {"kind": "session"}, seconds=0.3, total_seconds=3600.0)
    told = {"code": ["x = f('x' * 10**6)", "assert f(1)"], "setup": "", "entry_point": "f"}
    assert sandbox.check(session, told) == Done(replies=({"outcome": "time"},) * 2)


def test_assertions_that_a_value_makes_endless_are_the_programs_fault(sandbox: LocalSandbox) -> None:
    told = {"code": ["x = f()\nwhile x: pass"], "setup": "", "entry_point": "f"}
    answers = [
        sandbox.check(job(f"def f(): return {value}", {"kind": "session"}, total_seconds=1.0), told) for value in (0, 1)
    ]
    assert answers == [Done(replies=({"outcome": None},)), Done(ended="time")]


def test_what_all_tests_print_is_limited(sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays in this process's memory until it is compared."""
    monkeypatch.setattr(local, "_MOST_OUTPUT", 1_000)
    done = sandbox.run(job("print('x' * 400)", *[{"kind": "run", "stdin": ""}] * 5))
    assert (len(done.replies), done.ended) == (2, "output")


@pytest.mark.parametrize("times", [3, 4])
def test_a_sandbox_that_somebody_killed_is_started_again(
    times: int, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, killed = Box.receive, []

    def die_before_the_reply(runner: Box, deadline: float) -> dict[str, Any]:
        message = receive(runner, deadline)
        if "status" in message and len(killed) < times:
            killed.append(runner)
            raise BoxEnded("died")
        return message

    monkeypatch.setattr(Box, "receive", die_before_the_reply)
    done = sandbox.run(job("print(1)", {"kind": "run", "stdin": ""}))
    assert len(killed) == times
    assert [reply["printed"] for reply in done.replies] == ["1\n"] * (times == 3)


def test_a_program_that_ends_its_sandbox_is_wrong(verifier: Verifier) -> None:
    gold = json.dumps({"tests": [{"stdin": "", "stdout": "1"}]})
    kills = "import os, signal\nprint(1, flush=True)\nos.kill(-1, signal.SIGKILL)"
    verdict = verifier.score([Item(f"```python\n{kills}\n```", gold)])[0]
    assert (verdict.reward, verdict.reason) == (0.0, "test 1 of 1: it ends the sandbox")


def test_a_helper_of_the_rows_prompt_is_not_the_programs(verifier: Verifier) -> None:
    prompt = "def value(x):\n    return x * x - 4\n\n\ndef root():\n    pass\n"
    test = "def check(candidate):\n    assert abs(value(candidate())) < 1e-6\n"
    gold = json.dumps({"prompt": prompt, "entry_point": "root", "test": test})
    programs = [
        "def root(): return 2.0",
        "def root(): return value(0) + 6.0",
        "def value(x): return 0\ndef root(): return 1",
    ]
    verdicts = verifier.score([Item(f"```python\n{program}\n```", gold) for program in programs])
    assert [verdict.reward for verdict in verdicts] == [1.0, 1.0, 0.0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root has both ways to start a sandbox")
@pytest.mark.parametrize("as_root", [True, False])
def test_processes_are_limited_however_root_starts_the_sandbox(as_root: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "_python", lambda: "/usr/bin/python3")  # for which no folder of root's is needed
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(local, "working_mode", lambda: as_root)
    forks = """
import os, time
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError: pass
print(made)
"""
    sandbox = LocalSandbox()
    try:
        done = sandbox.run(job(forks, {"kind": "run", "stdin": ""}))
    except SandboxFailed as error:
        pytest.skip(str(error))
    finally:
        sandbox.close()
    assert 0 < int(done.replies[0]["printed"]) < 64, done


def test_a_sandbox_that_is_closed_while_it_starts_leaves_nothing(sandbox_here: None) -> None:
    groups, moments = set(), random.Random(0)
    for _ in range(100):
        started = Box("runner", local.working_mode(), 2**30)
        groups.add(started._process.pid)
        time.sleep(moments.uniform(0.0, 0.02))
        started.close()
    end = time.monotonic() + 10.0
    while (left := _in_groups(groups)) and time.monotonic() < end:
        time.sleep(0.05)
    for process in left:
        process.kill()
    assert left == []


def _in_groups(groups: set[int]) -> list[psutil.Process]:
    """The processes of these groups, but zombies."""
    found = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(OSError):
            if os.getpgid(process.pid) in groups and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


CHECKER = (
    "import sys\n_, expected, printed = (open(path).read() for path in sys.argv[1:4])\nprint(int(int(printed) == {}))"
)


@pytest.mark.parametrize(
    ("checker", "program", "reward"),
    [
        (CHECKER.format("int(expected)"), "print(3)", 1.0),
        (CHECKER.format("int(expected)"), "print(4)", 0.0),
        (CHECKER.format("int(expected)"), "print('no number')", 0.0),
        (CHECKER.format("int(expected)") + "\nwhile printed[0] == ' ': pass", "print(' 3')", 0.0),
        (CHECKER.format("1 / 0"), "print(3)", None),
    ],
    ids=["right", "wrong", "makes the checker fail", "makes the checker endless", "the checker fails by itself"],
)
def test_a_program_cannot_make_itself_unscorable_by_its_rows_checker(
    checker: str, program: str, reward: float | None, sandbox_here: None
) -> None:
    gold = json.dumps({"tests": [{"stdin": "", "stdout": "3"}], "checker": checker})
    with open_verifier("code", sandbox="local", limits=Limits(seconds=0.5)) as verifier:
        assert verifier.score([Item(f"```python\n{program}\n```", gold)])[0].reward == reward
