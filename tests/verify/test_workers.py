"""The worker processes: one that hangs is killed, one that dies is replaced, and only the guilty item is lost."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from learnalign.errors import InputError, RunError
from learnalign.verify import Item, Verifier, open_verifier
from tests.processes import children

WORKER = "learnalign.verify.worker"
FUNCTION = """
import os, signal, subprocess, sys, time

def judge(solution_str, ground_truth, extra_info):
    with open("calls", "a") as file:
        print(solution_str, file=file)
    if solution_str == "hang":
        while True:
            pass
    if solution_str == "sleep":
        time.sleep(1000)
    if solution_str == "power":
        9 ** 9 ** 9
    if solution_str == "exit":
        os._exit(3)
    if solution_str == "sys.exit":
        sys.exit()
    if solution_str == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if solution_str == "memory":
        hoard = []
        while True:
            hoard.append(b"x" * 2**22)
    if solution_str == "child":
        child = subprocess.Popen(["sleep", "1000"])
        with open("child", "w") as file:
            file.write(str(child.pid))
        time.sleep(1000)
    if solution_str == "raise":
        raise KeyError("no such thing")
    if solution_str == "print":
        print("LOUD")
    return float(solution_str == ground_truth)
"""
HANGS = r"\boxed{\sum_{k=1}^{10^{9}} \frac{1}{k^{3}+1}}"
SLOW = r"\sum_{k=1}^{2000} \frac{1}{k^{3}+1}"  # a second or two of CPU time
GUILTY = ["hang", "sleep", "power", "exit", "sys.exit", "crash", "memory"]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the module above in it."""
    (tmp_path / "mine.py").write_text(FUNCTION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def open_mine(timeout: float = 1.0, workers: int = 2) -> Verifier:
    return open_verifier("mine:judge", workers=workers, timeout=timeout, memory_limit=200 * 2**20)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_only_the_guilty_are_lost_and_the_order_is_kept(module: Path, workers: int) -> None:
    texts = [f"{number}" for number in range(70)]
    for position, guilty in enumerate(GUILTY):
        texts.insert(position * 11, guilty)
    with open_mine(workers=workers) as verifier:
        verdicts = verifier.score([Item(text, text) for text in texts])
    assert [verdict.reward for verdict in verdicts] == [None if text in GUILTY else 1.0 for text in texts]
    reasons = {text: verdict.reason for text, verdict in zip(texts, verdicts, strict=True)}
    assert all("out of time (1 s)" in reasons[text] for text in ("hang", "sleep", "power"))
    assert "exit status 3" in reasons["exit"]
    assert "SIGSEGV" in reasons["crash"]
    assert "memory" in reasons["memory"]


def test_an_exception_makes_that_item_unscorable_not_wrong(module: Path) -> None:
    with open_mine() as verifier:
        failed, scored = verifier.score([Item("raise", "1"), Item("2", "1")])
    assert failed.reward is None
    assert "KeyError" in failed.reason
    assert scored.reward == 0.0


@pytest.mark.slow
def test_works_off_the_main_thread(module: Path) -> None:
    rewards: list[float | None] = []

    def work() -> None:
        with open_mine() as verifier, open_verifier("math", workers=1, timeout=1.0) as mathematics:
            rewards.extend(v.reward for v in verifier.score([Item("hang", "1"), Item("1", "1")]))
            items = [Item(HANGS, "1"), Item(r"\boxed{\sqrt{4}}", "2")]
            rewards.extend(v.reward for v in mathematics.score(items))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert rewards == [None, 1.0, None, 1.0]


@pytest.mark.slow
def test_a_loaded_machine_gives_the_same_verdicts() -> None:
    """The limit is three times the CPU time that the idle machine takes; with four others on its CPU, the clock takes longer."""
    before = children_cpu_time()
    with open_verifier("math", workers=1, timeout=60.0) as verifier:
        idle = verifier.check_golds([SLOW])
    limit = 3 * (children_cpu_time() - before)
    started = time.monotonic()
    with busy_cpu(), open_verifier("math", workers=1, timeout=limit) as verifier:
        loaded = verifier.check_golds([SLOW])
    assert loaded == idle == [None]
    assert time.monotonic() - started > limit


def test_a_built_in_verifier_that_computes_without_end_is_stopped_by_its_cpu_time() -> None:
    with open_verifier("math", workers=1, timeout=0.5) as verifier:
        verdict = verifier.score([Item(HANGS, "1")])[0]
    assert verdict.reward is None
    assert "0.5 s of CPU time" in verdict.reason


def test_a_built_in_verifier_that_takes_no_cpu_time_is_stopped_by_the_clock() -> None:
    with open_verifier("math", workers=1, timeout=0.2) as verifier:
        before = children(WORKER)
        assert verifier.score([Item(r"\boxed{\sqrt{4}}", "2")])[0].reward == 1.0
        for worker in children(WORKER) - before:
            worker.suspend()
        verdicts = verifier.score([Item(r"\boxed{\sqrt{9}}", "3"), Item(r"\boxed{\sqrt{16}}", "4")])
    assert verdicts[0].reward is None
    assert "out of time" in verdicts[0].reason
    assert verdicts[1].reward == 1.0


def test_equal_items_are_judged_once_a_call(module: Path) -> None:
    with open_mine() as verifier:
        verdicts = verifier.score([Item("7", "7"), Item("8", "7")] * 50)
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.0] * 50
    assert sorted((module / "calls").read_text().split()) == ["7", "8"]


def test_a_verifier_continues_after_its_idle_workers_are_killed(module: Path) -> None:
    before = children(WORKER)
    with open_mine() as verifier:
        for _ in range(3):
            for worker in children(WORKER) - before:
                worker.kill()
                worker.wait()
            assert verifier.score([Item("7", "7")])[0].reward == 1.0


def test_output_of_a_function_stays_off_stdout(module: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_mine() as verifier:
        verifier.score([Item("print", "print")])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "LOUD" in captured.err


def test_a_killed_worker_takes_its_children_with_it(module: Path) -> None:
    with open_mine(timeout=2.0) as verifier:
        assert verifier.score([Item("child", "1")])[0].reward is None
    assert gone(int((module / "child").read_text()))


def test_closing_ends_the_workers(module: Path) -> None:
    before = children(WORKER)
    with open_mine() as verifier:
        verifier.score([Item("1", "1")])
        workers = children(WORKER) - before
        assert workers
    assert all(gone(worker.pid) for worker in workers)


def test_workers_end_if_their_parent_is_killed_during_a_task(module: Path) -> None:
    script = """
from learnalign.verify import Item, open_verifier
with open_verifier("mine:judge", workers=1, timeout=1.0) as verifier:
    import psutil
    print(psutil.Process().children()[0].pid, flush=True)
    verifier._judge._workers._timeout = 1000.0
    verifier._judge._workers._handles[0]._wall_limit = 1000.0
    verifier.score([Item("power", "1")])
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    while "power" not in ((module / "calls").read_text() if (module / "calls").is_file() else ""):
        assert parent.poll() is None
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert gone(worker)


def test_a_script_needs_no_main_guard(module: Path) -> None:
    script = module / "script.py"
    script.write_text(
        "from learnalign.verify import Item, open_verifier\n"
        "with open_verifier('math', workers=1) as verifier:\n"
        "    print(verifier.score([Item('\\\\boxed{\\\\sqrt{4}}', '2')])[0].reward)\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "1.0\n"


def test_a_module_that_exits_on_import_is_a_clear_error(module: Path) -> None:
    (module / "bad.py").write_text("import os; os._exit(4)", encoding="utf-8")
    with pytest.raises(RunError, match="could not start .exit status 4."):
        open_verifier("bad:judge")


def test_no_items_need_no_workers() -> None:
    before = children(WORKER)
    with open_verifier("math") as verifier:
        assert verifier.score([]) == []
        assert verifier.check_golds([]) == []
        assert [v.reward for v in verifier.score([Item(r"\boxed{12}", "12"), Item("11", "12")])] == [1.0, 0.0]
        assert children(WORKER) == before


def test_an_unknown_verifier_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean boxed"):
        open_verifier("boxd")
    with pytest.raises(InputError, match="module:function"):
        open_verifier("mine:")


@contextlib.contextmanager
def busy_cpu() -> Iterator[None]:
    """Leave one CPU, shared with four busy processes, to this thread and the processes that it starts."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system cannot bind processes to a CPU")
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)
        for process in spinning:
            process.kill()
            process.wait()


def children_cpu_time() -> float:
    """CPU seconds of the ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def gone(pid: int) -> bool:
    """Whether the process ends by itself, within half a minute."""
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False
