"""Twenty workers killed at random, on a Ray cluster, on this machine, and of slices: nothing is missing, nothing is done twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from learnalign.errors import RunError
from learnalign.executor import execute
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from tests.executor import slices
from tests.executor.test_cluster import on_ray
from tests.executor.workers import done, work
from tests.tiny import make_run

pytestmark = pytest.mark.slow
KILLS, SHARDS = 20, 120


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    run = make_run(tmp_path, count=SHARDS, executor={"shard_size": 1, "devices": 3})
    load_prompts(run)
    return run


@contextlib.contextmanager
def killer(is_victim: Callable[[psutil.Process], bool], kills: list[int]) -> Iterator[None]:
    """Kills one of the victims now and then."""
    ending, moments = threading.Event(), random.Random(0)

    def kill() -> None:
        while not ending.wait(moments.uniform(0.2, 2.0)) and len(kills) < KILLS:
            victims = []
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    victims += [child] if is_victim(child) else []
            if victims:
                victim = moments.choice(victims)
                with contextlib.suppress(psutil.Error):
                    victim.kill()
                    kills.append(victim.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.mark.parametrize("kind", ["local", "ray"])
def test_workers_that_are_killed(large: RunDir, kind: str) -> None:
    run, kills = large, list[int]()
    if kind == "ray":
        pytest.importorskip("ray", reason="ray is not installed")
        run = on_ray(large)

    def is_worker(process: psutil.Process) -> bool:
        return process.name().startswith("ray::serve") or "learnalign.executor.process" in process.cmdline()

    with killer(is_worker, kills):
        for _ in range(10):  # a shard may be given up, or several workers be killed at their start
            with contextlib.suppress(RunError), run.stage("rollout"):
                execute(run, work(run, pause=0.5))
                break
    assert done(run) == [1] * SHARDS
    assert len(kills) == KILLS, "the work ended too soon"


def test_slices_that_are_killed(large: RunDir) -> None:
    context, moments, kills = multiprocessing.get_context("forkserver"), random.Random(0), 0
    context.set_forkserver_preload([slices.__name__])
    running = dict.fromkeys(("1/3", "2/3", "3/3"))
    while running:
        for text, process in list(running.items()):
            if process is not None and process.exitcode == 0:
                del running[text]
            elif process is None or process.exitcode is not None:
                running[text] = context.Process(target=slices.slow_work, args=(large.path, text))
                running[text].start()
        time.sleep(moments.uniform(0.2, 1.0))
        if running and kills < KILLS:
            victim = running[moments.choice(list(running))]
            kills += victim.is_alive()
            victim.kill()
            victim.join()
    assert done(large) == [1] * SHARDS
    assert large.read_record()["stages"]["rollout"]["status"] == "done"
    assert kills == KILLS, "the work ended too soon"
