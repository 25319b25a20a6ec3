"""A run directory of somebody else's runs no code that its config.yaml names until this user says so, elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from learnalign import evaluate, rollout, train
from learnalign.config import Config, build_config
from learnalign.errors import InputError
from learnalign.rundir import RunDir, check_inside, check_trust, remember_trust
from learnalign.rundir.files import write_text
from learnalign.rundir.trust import code_settings
from tests.tiny import make_config

FOREIGN = """
open("{ran}", "w").close()

def judge(solution_str, ground_truth):
    return float(len(solution_str) % 2)
"""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the verifier of somebody else's run writes when it is imported; it lies in the current directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "downloaded"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = tmp_path / "ran"
    (folder / "foreign.py").write_text(FOREIGN.format(ran=path), encoding="utf-8")
    return path


@pytest.fixture
def theirs(tmp_path: Path, ran: Path) -> Path:
    """A run directory that was made elsewhere: nothing is known of it here."""
    config = make_config(tmp_path, count=4, verifier="foreign:judge", rollout={"num_generations": 2})
    run = RunDir.create(tmp_path / "downloaded" / "run", config)
    rollout(run)
    ran.unlink()
    shutil.rmtree(tmp_path / "state")
    return run.path


def learnalign(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "learnalign_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        *(["rollout"], ["run"]),
        *(
            pytest.param(a, marks=pytest.mark.slow)
            for a in (["verify"], ["eval", "--data", "demo"], ["grad", "--dry-run"], ["plan"])
        ),
    ],
    ids=lambda a: a[0],
)
def test_no_command_runs_it(theirs: Path, ran: Path, arguments: list[str]) -> None:
    result = learnalign(arguments[0], theirs, *arguments[1:])
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "foreign:judge" in line
    assert "--trust" in line
    assert not ran.exists()


def test_its_status_can_be_read(theirs: Path) -> None:
    assert learnalign("status", theirs).returncode == 0


@pytest.mark.slow
def test_naming_the_verifier_or_trusting_the_directory_lets_it_run_from_then_on(theirs: Path, ran: Path) -> None:
    copy = theirs.with_name("copy")
    shutil.copytree(theirs, copy)
    assert learnalign("verify", theirs, "--trust", "--json").returncode == 0
    assert ran.exists()
    assert learnalign("verify", theirs, "--json").returncode == 0
    assert learnalign("verify", copy, "--json").returncode == 2
    assert learnalign("verify", copy, "--verifier", "foreign:judge", "--json").returncode == 0
    assert learnalign("verify", copy, "--json").returncode == 2
    assert learnalign("rollout", copy, "--set", "verifier=foreign:judge", "--json").returncode == 0
    assert learnalign("verify", copy, "--json").returncode == 0


def test_a_stage_of_python_refuses_it_too(theirs: Path, ran: Path) -> None:
    for run in (RunDir.open(theirs), RunDir.peek(theirs)):
        for work in (rollout, lambda run: evaluate(run, "demo"), lambda run: train(run, theirs.parent / "pool.jsonl")):
            with pytest.raises(InputError, match="trust=True"):
                work(run)
    assert not ran.exists()
    rollout(RunDir.open(theirs, trust=True))
    rollout(RunDir.open(theirs))


def test_trust_is_of_the_code_that_was_named_not_of_what_replaces_it(theirs: Path) -> None:
    remember_trust(theirs, RunDir.peek(theirs).config)
    file = theirs / "config.yaml"
    write_text(file, file.read_text().replace("foreign:judge", "foreign:other"))
    with pytest.raises(InputError, match="foreign:other"):
        check_trust(theirs, RunDir.peek(theirs).config)


def test_a_directory_cannot_vouch_for_itself(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunDir.peek(theirs).config
    monkeypatch.setenv("XDG_STATE_HOME", "state")  # relative: not in the current directory
    monkeypatch.setenv("HOME", str(theirs.parent.parent / "home"))
    remember_trust(theirs, config)
    assert not (theirs.parent / "state").exists()
    [stored] = (theirs.parent.parent / "home" / ".local" / "state" / "learnalign" / "trusted").iterdir()
    stored.write_text("{", encoding="utf-8")
    with pytest.raises(InputError):
        check_trust(theirs, config)
    stored.write_text(json.dumps({"directory": "/elsewhere", "code": code_settings(config)}), encoding="utf-8")
    with pytest.raises(InputError):
        check_trust(theirs, config)


def configured(tmp_path: Path, changes: dict[str, object]) -> Config:
    settings = make_config(tmp_path).model_dump(mode="json")
    for key, value in changes.items():
        section, _, name = key.partition(".")
        place = settings[section] if name else settings
        place[name or section] = value
    return build_config(settings)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"model.trust_remote_code": True}, ["model.trust_remote_code"]),
        ({"model.attn": "somebody/kernels"}, ["model.attn"]),
        ({"rollout.vllm": {"trust_remote_code": True}}, ["rollout.vllm.trust_remote_code"]),
        ({"rollout.vllm": {"worker_cls": "a.b", "max_model_len": 9, "dtype": "auto"}}, ["rollout.vllm.worker_cls"]),
        ({"verifier": "code", "verifier_sandbox": "http://elsewhere:8080"}, ["verifier_sandbox"]),
        ({"verifier": "code", "verifier_sandbox": "local"}, []),
    ],
)
def test_every_setting_that_names_code_is_known(tmp_path: Path, changes: dict[str, object], named: list[str]) -> None:
    config = configured(tmp_path, changes)
    assert list(code_settings(config)) == named
    if named:
        with pytest.raises(InputError, match=named[0]):
            check_trust(tmp_path / "run", config)
        check_trust(tmp_path / "run", config, [named[0].partition(".")[0]])
        check_trust(tmp_path / "run", config, None)


def test_one_named_setting_does_not_let_another_in(theirs: Path) -> None:
    settings = yaml.safe_load((theirs / "config.yaml").read_text(encoding="utf-8"))
    settings["model"]["trust_remote_code"] = True
    config = build_config(settings)
    remember_trust(theirs, config, ["verifier"])
    with pytest.raises(InputError, match="trust_remote_code"):
        check_trust(theirs, config)


def test_a_run_of_ones_own_is_trusted_and_ordinary_settings_leave_no_trace(
    tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunDir.create(tmp_path / "plain", make_config(tmp_path))
    assert not (tmp_path / "state").exists()
    config = make_config(tmp_path, verifier="foreign:judge")
    RunDir.create(tmp_path / "own", config)
    check_trust(tmp_path / "own", config)
    os.symlink(tmp_path / "own", tmp_path / "link")
    check_trust(tmp_path / "link", config)


def test_files_are_not_deleted_through_a_link_out_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "work").symlink_to(tmp_path)
    with pytest.raises(InputError, match="symbolic link"):
        check_inside(tmp_path / "run", tmp_path / "run" / "work" / "train")
    check_inside(tmp_path / "run", tmp_path / "run" / "other")
