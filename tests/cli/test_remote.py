"""Every command takes a URL for DIR: it works in the local copy, and what it made is at the URL."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from learnalign.config import dump_config
from learnalign.rundir.checking import find_problems
from learnalign.rundir.remote.copy import CACHE
from learnalign_cli.app import app
from tests.tiny import make_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run by URL, in processes of its own: the folder that holds far/run, and what the command said."""
    folder = tmp_path_factory.mktemp("remote")
    settings = make_config(folder, grad={"prompts": "correct"}, select={"method": "random"})
    (folder / "config.yaml").write_text(dump_config(settings), encoding="utf-8")
    command = ["run", f"file://{folder}/far/run", "--config", str(folder / "config.yaml"), "--anyway"]
    done = subprocess.run(
        [sys.executable, "-m", "learnalign_cli", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, CACHE: str(folder / "cache")},
    )
    return folder, done


@pytest.fixture
def far(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the remote, for a machine without a local copy."""
    monkeypatch.setenv(CACHE, str(tmp_path / "other"))
    return shutil.copytree(finished[0] / "far" / "run", tmp_path / "far" / "run")


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.slow
def test_run_leaves_a_whole_run_directory_at_the_url(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = finished
    assert done.returncode == 0, done.stderr
    far, url = folder / "far" / "run", f"file://{folder}/far/run"
    local = done.stderr.partition(f"{url} is up to date; local copy: ")[2].strip()
    assert local.startswith(str(folder / "cache"))
    assert f"learnalign show {url}" in done.stdout  # what is to be typed next
    (far / ".lock").touch()
    assert not find_problems(far)
    assert (far / "subset-random.jsonl").read_bytes() == (Path(local) / "subset-random.jsonl").read_bytes()
    assert len(list((far / "rollouts").glob("part-*.parquet"))) == 3
    for name in ("config.yaml", "run.json"):
        assert "cache" not in (far / name).read_text("utf-8")


@pytest.mark.slow
def test_reading_commands_take_no_lease_and_change_nothing(far: Path) -> None:
    before = {path: path.read_bytes() for path in far.rglob("*") if path.is_file()}
    url = f"file://{far}"
    code, text, _ = invoke("status", url, "--json")
    assert code == 0
    assert json.loads(text)["pool"]["prompts"] == 12
    assert invoke("status", url, "--check")[0] == 0
    code, text, _ = invoke("show", url, "-n", "1", "--json")
    assert code == 0
    assert json.loads(text)[0]["rollouts"]
    assert invoke("verify", url, "--json")[0] == 0
    assert invoke("select", url, "--dry-run", "--json")[0] == 0
    assert invoke("plan", url, "--json")[0] == 0
    assert {path: path.read_bytes() for path in far.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_other_commands_leave_their_results_at_the_url(far: Path) -> None:
    url = f"file://{far}"
    for command in (
        ["select", url, "-n", "2", "--seed", "3"],
        ["signal", url, "length"],
        ["export", url, "--to", "trl"],
        ["report", url],
    ):
        code, _, told = invoke(*command)
        assert code == 0, told
        assert f"{url} is up to date" in told
    made = ["subset-random-seed3.jsonl", "signals/length.parquet", "report.html"]
    assert [name for name in made if not (far / name).is_file()] == []
    assert list((far / "export").iterdir())
    code, _, told = invoke("select", url, "-n", "4", "--overwrite")
    assert code == 0, told
    assert not (far / "subset-random-seed3.jsonl").exists()  # has no successor
    assert len((far / "subset-random.jsonl").read_text("utf-8").splitlines()) == 4
    (far / ".lock").touch()
    assert not find_problems(far)


@pytest.mark.slow
def test_a_shard_that_the_remote_lost_is_made_again(far: Path) -> None:
    url, shard = f"file://{far}", far / "gradients" / "part-00001.safetensors"
    before = shard.read_bytes()
    shard.write_bytes(b"")
    code, _, told = invoke("status", url, "--check")
    assert code == 1
    assert "gradients/part-00001.safetensors" in told
    assert f"learnalign status {url} --repair" in told
    code, _, told = invoke("status", url, "--repair")
    assert code == 0, told
    assert shard.read_bytes() == before


@pytest.mark.slow
def test_a_command_beside_another_is_refused_with_its_holder(far: Path) -> None:
    lease = {"token": "t", "copy": "c", "who": "ada", "host": "far", "pid": 7, "since": "s", "renewed": "2999-01-01"}
    (far / ".learnalign" / "lease.json").write_text(json.dumps(lease), encoding="utf-8")
    code, _, told = invoke("select", f"file://{far}", "-n", "2")
    assert code == 1
    assert f"file://{far} is in use by ada on far (process 7, since s)" in told
    assert invoke("status", f"file://{far}")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "memory://nothing/run"], "memory://nothing/run is not a run directory"),
        (["run", "s3://key:secret@bucket/run", "--config", "demo"], "credentials do not belong in a URL"),
        (["run", "nosuch://bucket/run", "--config", "demo"], "Protocol not known: nosuch"),
        (["grad", "memory://bucket/run", "--slice", "1/2"], "--slice with memory://bucket/run: one command at a time"),
        (["paper", "learnalign-table-1", "--dir", "s3://bucket/run"], "give a directory on this machine"),
        (["report", "runs/demo", "--compare", "s3://bucket/run"], "give a directory on this machine"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    code, _, told = invoke(*arguments)
    assert code == 2
    assert message in " ".join(told.split())
    assert "secret" not in told
