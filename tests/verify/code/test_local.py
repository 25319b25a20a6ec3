"""The sandbox of this machine: what a program may do in it, and what is said of one that breaks a limit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from learnalign.errors import InputError
from learnalign.verify import Item, open_verifier
from learnalign.verify.code import box, local
from learnalign.verify.code.local import LocalSandbox
from learnalign.verify.code.sandbox import Done, Job, Limits, SandboxFailed
from tests.processes import children


def job(program: str, *tests: dict[str, Any], language: str = "python", **limits: Any) -> Job:
    return Job(program=program, language=language, prelude="", tests=tests, limits=Limits(**limits))


def run(stdin: str = "", **more: Any) -> dict[str, Any]:
    return {"kind": "run", "stdin": stdin, **more}


def printed(done: Done) -> list[str]:
    return [reply["printed"] for reply in done.replies]


def test_a_program_runs_on_each_input(sandbox: LocalSandbox) -> None:
    done = sandbox.run(job("a, b = map(int, input().split())\nprint(a + b)", run("1 2\n"), run("3 4"), run("x")))
    assert printed(done) == ["3\n", "7\n", ""]
    assert [reply["status"] for reply in done.replies] == ["ok", "ok", "error"]
    assert "ValueError" in done.replies[2]["error"]


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("import sys\nfor line in sys.stdin: print(line.strip(), end=';')", "a;ä;"),
        ("import sys\ndata = sys.stdin.buffer.read()\nsys.stdout.buffer.write(data)", "a\nä\n"),
        ("print(open(0).read(), end='')", "a\nä\n"),
        ("import threading\nthreading.Thread(target=lambda: print(input())).start()", "a\n"),
        ("import atexit\natexit.register(print, 'end')\nprint(1)", "1\nend\n"),
        ("import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and f(n - 1)\nprint(f(50_000))", "0\n"),
        ("print(1)\nexit()\nprint(2)", "1\n"),
        ("import numpy as np\nprint(np.arange(3).sum())", "3\n"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(1))", "P(x=1)\n"),
        ("if __name__ == '__main__': print('main')", "main\n"),
        ("print(len(str(9**99999)))", "95424\n"),
        ("with open('a.txt', 'w') as f: f.write('x')\nprint(open('a.txt').read())", "x\n"),
        ("import sys\nprint(1)\nsys.stdout.close()", "1\n"),
        ("import atexit, io, sys\nsys.stdout = io.StringIO()\natexit.register(sys.__stdout__.write, 'end')", "end"),
        ("import os\nout = os.fdopen(1, 'w')\nout.write('1')", "1"),
        ("import sys\nsys.stdout = None", ""),
        ("print(__file__)", "program.py\n"),
        ("from multiprocessing import Pool\nwith Pool(2) as pool: print(pool.map(abs, [-1, -2]))", "[1, 2]\n"),
    ],
)
def test_what_programs_do_works(program: str, output: str, sandbox: LocalSandbox) -> None:
    done = sandbox.run(job(program, run("a\nä\n")))
    assert (printed(done), done.replies[0]["status"]) == ([output], "ok"), done


def test_a_test_sees_nothing_of_the_one_before(sandbox: LocalSandbox) -> None:
    done = sandbox.run(job("import math\nprint(getattr(math, 'seen', 0))\nmath.seen = 1", run(), run()))
    assert printed(done) == ["0\n", "0\n"]


def test_cpp_is_compiled_once(sandbox: LocalSandbox) -> None:
    source = "#include <iostream>\nint main() { long a; std::cin >> a; std::cout << a * 2 << std::endl; }"
    assert printed(sandbox.run(job(source, run("4"), run("5"), language="cpp"))) == ["8\n", "10\n"]
    refused = sandbox.run(job("int main() { return x; }", run(), language="cpp")).refused
    assert refused is not None
    assert refused.startswith("syntax error: ")
    assert "x" in refused


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("while True: pass", "time"),
        ("import time\ntime.sleep(100)", "time"),
        ("x = bytearray(2**31)", "memory"),
        ("x = []\nwhile True: x.append(bytes(10**6))", "memory"),
    ],
)
def test_a_test_that_breaks_a_limit_is_the_last(program: str, status: str, sandbox: LocalSandbox) -> None:
    done = sandbox.run(job(program, run(), run(), seconds=0.5, memory=2**28))
    assert ([reply["status"] for reply in done.replies], done.ended) == ([status], status)


BIG = "1 " * 10_000_000


@pytest.mark.parametrize(
    ("language", "program"),
    [
        ("cpp", "#include <bits/stdc++.h>\nint main() { int a; std::cin >> a; std::cout << a << std::endl; }"),
        ("python", "import time\na = input()\nend = time.time() + 0.5\nwhile time.time() < end: pass\nprint(a[0])"),
        ("python", "import numpy\nx = bytearray(48 * 2**20)\nprint(open(0).read(1))"),
    ],
    ids=["compiler", "tests", "libraries"],
)
def test_the_memory_limit_is_for_what_the_program_takes(language: str, program: str, sandbox: LocalSandbox) -> None:
    """Not for the compiler, Python itself, its libraries, and the inputs of the other tests."""
    done = sandbox.run(job(program, run("1"), run("1 2"), run(BIG), language=language, memory=64 * 2**20))
    assert printed(done) == ["1\n"] * 3, done.refused or done.ended or done.replies[-1]["error"]


def test_files_take_memory(sandbox: LocalSandbox) -> None:
    """The kernel keeps more than a kilobyte for an empty one, which counts as no content of /tmp."""
    program = "import os, time\nfor i in range(200_000): os.symlink('x' * 100, f'{i:0200}')\ntime.sleep(2)"
    assert sandbox.run(job(program, run(), seconds=60, memory=2**20)).ended == "memory"


def test_memory_is_looked_at_also_while_calls_are_answered(sandbox: LocalSandbox) -> None:
    program = (
        "import os, time\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0:\n        x = b'x' * (40 * 2**20)\n        time.sleep(60)\n"
        "def f(): time.sleep(0.02)"
    )
    told = {"setup": "", "code": ["for _ in range(200): f()"], "entry_point": "f"}
    done = sandbox.check(job(program, {"kind": "session"}, memory=2**27), told)
    assert done.replies == ({"outcome": "memory"},)


def test_values_that_take_the_memory_of_the_assertions_are_the_programs_fault(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_CHECKER_MEMORY", 2**24)
    told = {"setup": "", "code": ["x = f()\nwhile x: pass"], "entry_point": "f"}
    done = sandbox.check(job("def f(): return 'x' * 10_000_000", {"kind": "session"}), told)
    assert done == Done(ended="memory")


def test_a_program_shares_one_cpu_with_nobody(sandbox: LocalSandbox) -> None:
    program = (
        "import os\nprint(*os.sched_getaffinity(0))\n"
        "try: os.sched_setaffinity(0, range(os.cpu_count()))\nexcept PermissionError: print('denied')"
    )
    lines = []

    def started() -> None:
        lines.append(printed(sandbox.run(job(program, run())))[0].splitlines())

    for _ in os.sched_getaffinity(0):  # each in a thread of its own, as the judge does
        thread = threading.Thread(target=started)
        thread.start()
        thread.join()
    assert sorted(int(cpu) for cpu, _ in lines) == sorted(os.sched_getaffinity(0))
    assert {word for _, word in lines} == {"denied"}


def test_endless_output_is_cut(sandbox: LocalSandbox) -> None:
    done = sandbox.run(job("while True: print('x' * 10**6)", run()))
    assert [reply["status"] for reply in done.replies] == ["output"]


@pytest.mark.parametrize("program", ["f(", "x = 1\n  y = 2", "\0", "print(1)\n" + "(" * 10_000, "é = 'a' 'b\n"])
def test_a_syntax_error_is_said(program: str, sandbox: LocalSandbox) -> None:
    refused = sandbox.run(job(program, run())).refused
    assert refused is not None
    assert refused.startswith("syntax error")


def test_nothing_of_the_host_is_seen(sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "42")
    program = (
        "import os, socket\n"
        "print(sorted(os.environ))\n"
        "for path in ('/etc/passwd', '/root', '/home', '/proc', '/sys', '/var'): print(path, os.path.exists(path))\n"
        "print(os.getuid() > 0, os.listdir('/tmp'))\n"
        "try: socket.create_connection(('127.0.0.1', 1), timeout=1)\n"
        "except OSError as error: print(type(error).__name__)\n"
        "try: open('/usr/x', 'w')\n"
        "except OSError as error: print(error.strerror)\n"
        "try: os.kill(1, 9); print('killed')\n"
        "except OSError as error: print(error.strerror)\n"
    )
    lines = printed(sandbox.run(job(program, run())))[0].splitlines()
    assert "SECRET" not in lines[0]
    hidden = {"/etc/passwd", "/home", "/proc", "/sys", "/var"}
    assert {line.split()[0] for line in lines[1:7] if line.endswith("False")} >= hidden
    assert lines[7:] == ["True []", "ConnectionRefusedError", "Read-only file system", "Operation not permitted"]


def test_calls_go_to_functions_and_methods(sandbox: LocalSandbox) -> None:
    call = {"kind": "call", "name": "f", "arguments": [1, [2]]}
    assert printed(sandbox.run(job("def f(a, b): return {a: b}", call))) == ['{"dict": [[1, {"list": [2]}]]}\n']
    assert printed(sandbox.run(job("class Solution:\n    def f(self, a, b): return b", call))) == ['{"list": [2]}\n']


def test_assertions_see_values_and_never_objects_of_the_program(sandbox: LocalSandbox) -> None:
    program = (
        "class Always:\n    def __eq__(self, other): return True\n    def __lt__(self, other): return True\n"
        "class Pair:\n    def __init__(self, a): self.a = a\n    def twice(self): return Pair(2 * self.a)\n"
        "class Text(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
        "def always(): return Always()\ndef text(): return Text('x')\n"
        "def fails(): raise KeyError('no')\ndef leaves(): import os; os._exit(0)\n"
        "def sorts(items): items.sort()\ndef many(n): return (i for i in range(n))\n"
        "class Late(ValueError): pass\ndef late(): raise Late('no')\n"
        "def views(n): return iter([0] * n), {n: 1}.items()\n"
    )
    code = {
        "assert always() == 1": "wrong",
        "assert text() == 'y'": "wrong",
        "assert text() == 'x'": None,
        "assert Pair(3).a == 3": None,
        "assert Pair(3).twice().a == 6": None,
        "assert fails() == 1": "KeyError: no",
        "items = [3, 1]\nsorts(items)\nassert items == [1, 3]": None,
        "assert list(many(3)) == [0, 1, 2]": None,
        "assert missing(1)": "NameError: name 'missing' is not defined",
        "try:\n    late()\nexcept ValueError as e:\n    assert type(e).__name__ == 'Late'": None,
        "late()": "Late: no",
        "a, b = views(2)\nassert list(a) == [0, 0] and dict(b) == {2: 1}": None,
        "import numpy as np\nassert np.allclose([], []) and not np.allclose(list(many(0)), 0.5)": None,
        "try:\n    fails()\nexcept KeyError:\n    pass\nelse:\n    raise AssertionError": None,
        "assert leaves() is None": "ended",
        "assert many(1)": "ended",
    }
    done = sandbox.check(
        job(program, {"kind": "session"}), {"setup": "import math", "code": list(code), "entry_point": "many"}
    )
    outcomes = {text: reply["outcome"] for text, reply in zip(code, done.replies, strict=True)}
    assert {text: outcome and outcome.strip("'\"") for text, outcome in outcomes.items()} | {
        "assert fails() == 1": "KeyError: no"
    } == code


@pytest.mark.parametrize(
    ("setup", "code", "why"),
    [
        ("1 / 0", "assert 1", "ZeroDivisionError: division by zero"),
        ("", "assert f(", "SyntaxError"),
        ("", "assert f(abs) == 1", "a builtin_function_or_method cannot be passed to the program"),
    ],
)
def test_assertions_that_do_not_run_are_no_fault_of_the_program(
    setup: str, code: str, why: str, sandbox: LocalSandbox
) -> None:
    with pytest.raises(SandboxFailed, match=f"the row's assertions: {why}"):
        sandbox.check(
            job("def f(x): return x", {"kind": "session"}), {"setup": setup, "code": [code], "entry_point": "f"}
        )


def test_assertions_may_call_nothing(sandbox: LocalSandbox) -> None:
    done = sandbox.check(job("x = 1", {"kind": "session"}), {"setup": "", "code": ["assert 1"], "entry_point": None})
    assert [reply["outcome"] for reply in done.replies] == [None]


def test_nothing_is_left_running(sandbox: LocalSandbox) -> None:
    before = children(recursive=True)
    program = (
        "import os, time\n"
        "for _ in range(20):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(1000)\n"
        "print(1)"
    )
    assert printed(sandbox.run(job(program, run(), run()))) == ["1\n", "1\n"]
    deadline = time.monotonic() + 5
    while (left := children(recursive=True) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_closing_ends_what_is_under_way_at_once(sandbox_here: None) -> None:
    before = children(recursive=True)
    gold = json.dumps({"tests": [{"stdin": "", "stdout": "x"}]})
    verifier, ended = open_verifier("code", sandbox="local"), threading.Event()

    def score() -> None:
        assert verifier.score([Item("```python\nimport time\ntime.sleep(1000)\n```", gold)])[0].reward is None
        ended.set()

    thread = threading.Thread(target=score)
    thread.start()
    deadline = time.monotonic() + 60
    while len(children(recursive=True) - before) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    began = time.monotonic()
    verifier.close()
    assert ended.wait(10)
    thread.join()
    while (left := children(recursive=True) - before) and time.monotonic() < began + 10:
        time.sleep(0.05)
    assert not left


def test_a_killed_parent_leaves_no_sandbox(sandbox_here: None, tmp_path: Path) -> None:
    mark = f"{os.getpid()}{time.monotonic_ns()}"
    script = (
        "from learnalign.verify import Item, open_verifier\nimport json\n"
        f"program = '```python\\nimport time\\nx = \"{mark}\"\\ntime.sleep(60)\\n```'\n"
        "with open_verifier('code', sandbox='local') as verifier:\n"
        "    print('begun', flush=True)\n"
        "    verifier.score([Item(program, json.dumps({'tests': [{'stdin': '', 'stdout': 'x'}]}))])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    deadline = time.monotonic() + 60
    while len(begun := psutil.Process(process.pid).children(recursive=True)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    process.stdout.close()
    alive = psutil.wait_procs(begun, timeout=10)[1]
    assert len(begun) >= 3
    assert not alive


@pytest.mark.parametrize(
    ("error", "ways"),
    [
        ("bwrap: No permissions to create a new namespace, likely because the kernel does not allow …", "--privileged"),
        ("bwrap: setting up uid map: Permission denied", "user namespaces"),
        ("bwrap: Unknown option --disable-userns", "0.8 or newer"),
        ("bwrap: Can't find source path /x", "http://"),
    ],
)
def test_why_no_sandbox_starts_is_said_with_ways_out(error: str, ways: str) -> None:
    message = local._why_not(error)
    assert ways in message
    assert "verifier_sandbox" in message


def test_bubblewrap_is_taken_from_the_users_path(
    sandbox_here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As conda installs it, for one."""
    (tmp_path / "own-bwrap").symlink_to(shutil.which(box.PROGRAM) or "")
    monkeypatch.setattr(box, "PROGRAM", "own-bwrap")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert local.working_mode.__wrapped__() in (True, False)


def test_a_bubblewrap_that_does_not_start_is_said_with_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / box.PROGRAM).write_text("#!/no/such/shell\n")
    (tmp_path / box.PROGRAM).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local, "supported", lambda: True)
    with pytest.raises(InputError, match=r"cannot start.*No such file.*http://"):
        local.working_mode.__wrapped__()


def test_a_python_under_tmp_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", "/tmp/python")
    command = box._command(as_root=False, filter_file=0)
    assert command.index("/tmp") < command.index("/tmp/python")


def test_without_bubblewrap_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "PROGRAM", "no-such-program")
    monkeypatch.setattr(local, "supported", lambda: True)
    with pytest.raises(InputError, match="apt-get install bubblewrap"):
        local.working_mode.__wrapped__()
