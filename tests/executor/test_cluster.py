"""Workers on a Ray cluster, which the test starts on this machine."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from learnalign.config import ExecutorConfig
from learnalign.errors import InputError, RunError
from learnalign.executor import execute
from learnalign.executor.cluster import Cluster
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


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `ray` that only remembers with which variables it was started, and whose head has gone."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text(
        "import os, types\n"
        "class RayError(Exception): pass\n"
        "exceptions = types.SimpleNamespace(RayError=RayError)\n"
        "util = types.SimpleNamespace(get_node_ip_address=lambda: '127.0.0.1')\n"
        "is_initialized, shutdown = lambda: False, lambda: None\n"
        "def init(**options):\n"
        "    global seen\n"
        "    seen = {name: text for name, text in os.environ.items() if name.startswith('RAY_AUTH')}\n"
        "def nodes():\n"
        "    raise RayError('no connection to the head')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ray")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def started(**executor: object) -> dict[str, str]:
    cluster = Cluster(ExecutorConfig(kind="ray", **executor), 1)  # type: ignore[arg-type]
    cluster.close()
    return dict(sys.modules["ray"].seen)  # type: ignore[attr-defined]


def test_a_cluster_of_our_own_has_a_token_that_nobody_else_knows(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray listens on every interface of the machine, and runs what it is sent."""
    seen = started()
    assert seen["RAY_AUTH_MODE"] == "token"
    assert len(seen["RAY_AUTH_TOKEN"]) >= 32


def test_a_cluster_of_others_is_entered_as_the_user_says(fake: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        assert started(address=f"127.0.0.1:{head.getsockname()[1]}") == {}


def test_a_cluster_whose_head_has_gone_is_one_line(fake: None) -> None:
    cluster = Cluster(ExecutorConfig(kind="ray"), 1)
    with pytest.raises(
        RunError, match="does not answer any more: no connection to the head; .* the same command again"
    ):
        cluster.room()


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
