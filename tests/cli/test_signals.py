"""A signal ends a command, its stage, and every process below them, with one line; the same command then resumes."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from learnalign.config import dump_config
from tests.tiny import make_config

HANGING = """
import subprocess, sys

def judge(solution_str, ground_truth):
    subprocess.run([sys.executable, "-c", "import time; open('judging', 'a').close(); time.sleep(1000)"])
"""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
LINES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "terminated"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "learnalign_cli", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def until(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until `holds()` is true."""
    for _ in range(3000):
        if holds():
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    raise AssertionError("it never came to that")


def end(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send the signal, twice; returns what else the command printed, after checking its code and that no process is left."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == CODES[number], printed
    assert printed.splitlines()[-1] == f"learnalign: {LINES[number]}; run the same command again to resume"
    assert printed.count("run the same command again") == 1
    assert "Traceback" not in printed
    assert alive(below) == []
    return printed


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, left = psutil.wait_procs(processes, timeout=15)
    return [each for each in left if each.status() != psutil.STATUS_ZOMBIE]


def run(folder: Path, stage: str) -> subprocess.Popen[str]:
    """`learnalign run`, at the beginning of that stage."""
    if not (folder / "config.yaml").is_file():
        (folder / "config.yaml").write_text(dump_config(make_config(folder)), encoding="utf-8")
    process = start(folder, "run", "run", "--config", "config.yaml")
    assert process.stderr is not None
    printed = ""
    while f"learnalign: {stage}" not in printed:
        line = process.stderr.readline()
        assert line, printed
        printed += line
    until(lambda: psutil.Process(process.pid).children(), process)
    return process


@pytest.mark.slow
def test_run_ends_with_its_stage_and_resumes(tmp_path: Path) -> None:
    end(run(tmp_path, "warmup"), signal.SIGTERM)
    end(run(tmp_path, "grad"), signal.SIGINT)
    _, printed = run(tmp_path, "select").communicate(timeout=60)
    # The tiny model solves nothing: that is the last stage's own answer.
    assert "nothing to learn from" in printed


@pytest.fixture
def judging(tmp_path: Path) -> subprocess.Popen[str]:
    """A `rollout` whose verifier hangs in a process of its own."""
    (tmp_path / "hanging.py").write_text(HANGING, encoding="utf-8")
    config = make_config(tmp_path, verifier="hanging:judge")
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    process = start(tmp_path, "rollout", "run", "--config", "config.yaml")
    until((tmp_path / "judging").is_file, process)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_no_process_of_a_verifier_is_left(judging: subprocess.Popen[str], number: signal.Signals) -> None:
    end(judging, number)


def test_no_process_outlives_a_killed_command(judging: subprocess.Popen[str]) -> None:
    below = psutil.Process(judging.pid).children(recursive=True)
    assert len(below) >= 2
    judging.kill()
    judging.communicate()
    assert alive(below) == []


@pytest.mark.slow
def test_a_stage_ends_if_run_is_killed(tmp_path: Path) -> None:
    process = run(tmp_path, "warmup")
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert alive(below) == []


@pytest.mark.slow
def test_a_stage_that_is_killed_ends_the_run_with_one_line(tmp_path: Path) -> None:
    process = run(tmp_path, "warmup")
    for stage in psutil.Process(process.pid).children():
        stage.kill()
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert printed.splitlines()[-1].startswith("learnalign: warmup: its process was ended by SIGKILL")


PENDING = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); stop(); main()"
IN_FINALIZER = "listen(); End(); time.sleep(30)"


@pytest.mark.parametrize("body", [PENDING, IN_FINALIZER])
def test_a_signal_at_an_awkward_moment_is_one_line(body: str, tmp_path: Path) -> None:
    """Before the command listens, and while Python runs a finalizer, which swallows exceptions."""
    code = f"""
import os, signal, time
from learnalign_cli.__main__ import main
from learnalign_cli.stopping import listen

def stop():
    os.kill(os.getpid(), signal.SIGTERM)

class End:
    def __del__(self):
        stop()
        time.sleep(0.1)

{body}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 143, done.stderr
    assert done.stderr == "learnalign: terminated; run the same command again to resume\n"
