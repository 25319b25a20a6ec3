"""Files of the current directory are data: whatever their names, no command and no process that it starts imports them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnalign import isolation
from learnalign.config import dump_config
from tests.tiny import make_config

NAMES = (
    "json",
    "select",
    "random",
    "typing",
    "torch",
    "numpy",
    "math_verify",
    "signal",
    "psutil",
    "learnalign_configs",
)
MINE = "def judge(solution_str, ground_truth):\n    return float(len(solution_str) % 2)\n"
WORKER_TASK = json.dumps({"completion": r"\boxed{\frac{1}{2}}", "answer": "0.5"}) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose Python files say that they were imported, and a run directory's config in it."""
    (tmp_path / "config.yaml").write_text(dump_config(make_config(tmp_path)), encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(WORKER_TASK, encoding="utf-8")
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + ' ')\n")
    return tmp_path


def learnalign(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "learnalign_cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": path + os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    imported = folder / "imported"
    assert not imported.exists(), imported.read_text()
    return done


@pytest.mark.slow
def test_no_stage_imports_them(folder: Path) -> None:
    done = learnalign(folder, "run", "run", "--config", "config.yaml", "--set", "verifier=mine:judge")
    assert done.returncode == 0, done.stderr
    done = learnalign(folder, "verify", "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ["", ":", ".:", "./:"])
def test_an_empty_entry_of_pythonpath_does_not_let_them_in(folder: Path, path: str) -> None:
    done = learnalign(folder, "verify", "rows.jsonl", path=path)
    assert json.loads(done.stdout)["reward"] == 1.0


def test_a_verifier_is_looked_up_here_last(folder: Path) -> None:
    (folder / "rows.jsonl").write_text(json.dumps({"completion": "x", "answer": "x"}), encoding="utf-8")
    assert json.loads(learnalign(folder, "verify", "rows.jsonl", "--verifier", "mine:judge").stdout)["reward"] == 1.0
    refused = learnalign(folder, "verify", "rows.jsonl", "--verifier", "random:judge")
    assert refused.returncode == 2
    assert "has no function 'judge'" in refused.stderr


def test_workers_run_the_code_of_who_starts_them(tmp_path: Path) -> None:
    place = tmp_path / "two\nlines"
    place.mkdir()
    (place / "learnalign").symlink_to(Path(isolation.__file__).parent)  # another place than the installed one
    code = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from learnalign.isolation import environment, own_module
subprocess.run([*own_module("learnalign.executor.process"), "-"], input="[", env=environment(), text=True)
"""
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
    assert f'File "{place}/learnalign/executor/process.py"' in done.stderr  # of the traceback: that is no job


def test_a_directory_that_pythonpath_names_in_full_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for entry in ("", ".", str(tmp_path)):
        monkeypatch.setattr(sys, "path", [entry, *sys.path])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "/other", ".", "beside"]))
    assert isolation.environment()["PYTHONPATH"] == os.pathsep.join(["/other", "beside"])
    assert not any(os.path.realpath(entry) == str(tmp_path) for entry in isolation.module_path())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path)]))
    assert isolation.environment()["PYTHONPATH"] == str(tmp_path)
    assert str(tmp_path) in isolation.module_path()
