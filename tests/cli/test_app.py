"""The command line as a user meets it: fast help, a frozen interface, one-line errors with a way out."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from learnalign.config import dump_config
from tests.tiny import make_config

COMMANDS = {"run", "warmup", "rollout", "grad", "select", "signal", "compare", "train", "eval", "verify", "status"}
HEAVY = ("torch", "transformers", "trl", "vllm", "datasets", "pyarrow", "numpy", "pydantic", "math_verify")


def learnalign(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "learnalign_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(make_config(tmp_path)), encoding="utf-8")
    return path


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys, learnalign_cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_command_of_the_design_is_there() -> None:
    text = learnalign("--help").stdout
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    result = learnalign(command, "--help")
    assert result.returncode == 0
    assert "--help" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grad"], "DIR"),
        (["gard", "x"], "No such command"),
        (["grad", "{tmp}/none"], "not a run directory"),
        (["status", "{tmp}/none"], "not a run directory"),
        (["run", "{tmp}/run", "--config", "{tmp}/none.yaml"], "ready configs"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "grad.dimm=3"], "did you mean grad.dim?"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "data.path={tmp}/none.jsonl"], "no such file"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "data.prompt=nothing"], "no column 'nothing'"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "data.answer=kinds"], "no column 'kinds'"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "model.name={tmp}/none"], "no such directory"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "verifier=no.such:function"], "no.such"),
    ],
)
def test_wrong_use_is_one_message_and_exit_code_2(
    arguments: list[str], words: str, config: Path, tmp_path: Path
) -> None:
    result = learnalign(*[argument.format(tmp=tmp_path, config=config) for argument in arguments])
    assert result.returncode == 2, result.stderr
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_other_settings_are_refused_with_the_difference(config: Path, tmp_path: Path) -> None:
    assert learnalign("rollout", tmp_path / "run", "--config", config).returncode == 0
    result = learnalign("rollout", tmp_path / "run", "--set", "rollout.temperature=0.5")
    assert result.returncode == 2
    assert "rollout.temperature: 1.0 there, 0.5 now" in result.stderr
    assert "--overwrite" in result.stderr
    before = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert before["rollout"]["temperature"] == 1.0


def test_a_dry_run_writes_nothing(config: Path, tmp_path: Path) -> None:
    result = learnalign("run", tmp_path / "run", "--config", config, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert (plan["rows"], plan["prompts"]) == (12, 12)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "stage"),
    [(["train", "--subset"], "train"), (["eval", "--policy", "base", "--data"], "rollout")],
)
def test_a_dry_run_on_other_data_writes_nothing(config: Path, tmp_path: Path, arguments: list[str], stage: str) -> None:
    pool = yaml.safe_load(config.read_text())["data"]["path"]
    result = learnalign(arguments[0], tmp_path / "run", *arguments[1:], pool, "--config", config, "--dry-run", "--json")
    assert [row[:2] for row in json.loads(result.stdout)["stages"]] == [[stage, 12]]
    assert not (tmp_path / "run").exists()


def test_a_disk_that_cannot_be_written_is_said_so(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:  # root may write anywhere: put a file where the directory would be
        (tmp_path / "locked" / "run").write_text("")
        target = folder / "run" / "run"
    else:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        target = folder / "run"
    result = learnalign("rollout", target, "--config", config)
    assert result.returncode == 1
    assert "cannot write" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = learnalign("status", tmp_path, "--debug")
    assert "Traceback" in result.stderr
