"""Workers on a Ray cluster, which the test starts on this machine."""

from __future__ import annotations

import signal
import sys

import pytest

from learnalign.errors import InputError, RunError
from learnalign.executor import execute
from learnalign.rundir import RunDir
from tests.executor.workers import done, work


def on_ray(run: RunDir, **executor: object) -> RunDir:
    changed = run.config.executor.model_copy(update={"kind": "ray", **executor})
    return RunDir.create(run.path, run.config.model_copy(update={"executor": changed}))


def test_every_shard_is_done_once_whatever_becomes_of_the_workers(run: RunDir) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    run, answer = on_ray(run), signal.getsignal(signal.SIGTERM)
    with run.stage("rollout"):
        execute(run, work(run, fails={"1": ["kill"], "3": ["error"]}))
    assert done(run) == [1] * 6
    assert run.read_record()["stages"]["rollout"]["workers"] == 2
    assert run.read_record()["stages"]["rollout"]["cpu_seconds"] > 1.0  # workers' imports are counted
    assert signal.getsignal(signal.SIGTERM) is answer  # Ray puts its own there


def test_ray_that_is_not_installed_says_how_to_install_it(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    run = on_ray(run)
    with pytest.raises(InputError, match=r"pip install 'learnalign\[ray\]'"), run.stage("rollout"):
        execute(run, work(run))


def test_gpus_by_number_are_those_of_one_machine(run: RunDir) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    run = on_ray(run, devices=[0, 1])
    with pytest.raises(InputError, match="GPUs by number are those of one machine"), run.stage("rollout"):
        execute(run, work(run))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://head:10001", "head", "head:port"])
def test_an_address_without_a_cluster_is_one_line(run: RunDir, address: str) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    run = on_ray(run, address=address)
    with (
        pytest.raises(RunError, match=f"no Ray cluster at {address}: .*; give HOST:PORT of its head"),
        run.stage("rollout"),
    ):
        execute(run, work(run))
