"""`learnalign run` passes over stages that are done, and only those; its end says where the subset is and what is next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import learnalign_cli.run as command
from learnalign import grad, select, warmup
from learnalign.prompts import load_prompts
from learnalign.rollouts import import_rollouts
from learnalign.rundir import RunDir
from learnalign_cli.app import app
from tests.tiny import make_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run = make_run(folder)
    warmup(run)
    rows = [{"id": p.id, "completions": ["What is 1?", p.answer, "2", p.answer]} for p in load_prompts(run)]
    (folder / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_rollouts(run, folder / "given.jsonl")
    grad(run)
    select(run)
    return run.path


def performed(directory: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[list[str], str]:
    """The stages that `run` would perform, and what it says."""
    stages: list[str] = []

    def note(stage: str, *_: Any, **__: Any) -> None:
        stages.append(stage)

    monkeypatch.setattr(command, "perform", note)
    result = CliRunner().invoke(app, ["run", str(directory), *options])
    assert result.exit_code == 0, result.output
    return stages, result.output


def test_a_finished_run_needs_no_process_and_says_where_the_subset_is(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, text = performed(finished, monkeypatch)
    assert stages == []
    assert f"3 prompts, best first, in {finished / 'subset.jsonl'}" in text
    assert f"learnalign show {finished}" in text
    assert "of the 3 chosen stay" in text
    told = json.loads(performed(finished, monkeypatch, "--json")[1])
    assert told["selections"]["learnalign"]["subset"] == str(finished / "subset.jsonl")
    assert told["engine"].startswith("file ")


def flip(file: Path) -> None:
    """Change a byte in the middle: the size stays."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("subset.jsonl", ["select"]),
        ("gradients/part-00001.safetensors", ["grad", "select"]),
        ("rollouts/part-00000.parquet", ["rollout", "grad", "select"]),
    ],
)
@pytest.mark.parametrize("damage", [Path.unlink, flip])
def test_what_is_missing_or_damaged_is_made_again_with_all_that_follows(
    finished: Path, tmp_path: Path, file: str, damage: Any, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    damage(copy / file)
    assert performed(copy, monkeypatch)[0] == expected


def test_another_size_is_chosen_anew(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    assert performed(copy, monkeypatch, "--set", "select.size=2")[0] == ["select"]


def test_a_choice_by_options_is_kept_and_said_until_the_settings_or_rates_change(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    select(RunDir.open(copy, trust=True), 2)
    stages, text = performed(copy, monkeypatch)
    assert stages == []
    assert f"kept as `learnalign select {copy} -n 2` chose it" in text
    assert performed(copy, monkeypatch, "--set", "select.size=3")[0] == ["select"]
    (copy / "gradients" / "part-00001.safetensors").unlink()
    stages, text = performed(copy, monkeypatch)
    assert stages == ["grad", "select"]
    assert "`select -n 2` chose the subset before, now by the settings (select.size 3)" in text
