"""`status --check` names every damaged file, and `--repair` makes just these again, the same bytes."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from learnalign.gradients import grad
from learnalign.prompts import load_prompts
from learnalign.rollouts import import_rollouts
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_json
from learnalign.selection import select
from learnalign.signals import signal
from learnalign_cli.app import app
from tests.tiny import make_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of result, the rollouts of which were imported."""
    folder = tmp_path_factory.mktemp("status")
    run = make_run(folder, 12, warmup={"size": 0})
    rows = [
        {"id": prompt.id, "completions": ["What is 1?", prompt.answer, "2", prompt.answer]}
        for prompt in load_prompts(run)
    ]
    (folder / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_rollouts(run, folder / "given.jsonl")
    grad(run)
    signal(run, ["length"])
    select(run, 3, fill=True)
    select(run, 4, "learnability")
    return run.path


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


FILES = [
    "prompts.parquet",
    "rollouts/part-00001.parquet",
    "success.parquet",
    "gradients/part-00000.safetensors",
    "signals/length.parquet",
    "scores/learnalign.parquet",
    "subset.jsonl",
    "subset-learnability.jsonl",
    "subset.json",
    "run.json",
    ".run.json",
    "config.yaml",
]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flipped", "deleted"])
def test_every_file_is_missed_by_name_and_made_again(finished: Path, tmp_path: Path, how: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert invoke("status", str(run), "--check")[0] == 0
    before = {name: (run / name).read_bytes() for name in FILES}
    for name in FILES:
        if how == "deleted":
            (run / name).unlink()
        else:
            content = bytearray(before[name])
            content[len(content) // 2] ^= 4
            (run / name).write_bytes(content)
        if name in ("run.json", "config.yaml"):
            continue  # one of them at a time tells the other's content
        code, output = invoke("status", str(run), "--check")
        assert code == 1
        assert f"{run / name}: {'missing' if how == 'deleted' else 'damaged'}" in output
        if name == ".run.json":
            (run / name).write_bytes(before[name])
    (run / "run.json").write_bytes(before["run.json"])
    code, output = invoke("status", str(run), "--repair")
    assert code == 0, output
    assert "files are as they were written" in output
    after = {name: (run / name).read_bytes() for name in FILES if "run.json" not in name}
    assert [name for name, content in after.items() if content != before[name]] == []


def test_a_damaged_record_is_one_line_and_put_back_from_its_copy(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for content in (b"", b"{", b"\xff\xfe", b"[]", b'{"stages": 3}'):
        (run / "run.json").write_bytes(content)
        for command in (["status", str(run)], ["select", str(run), "-n", "2"], ["compare", str(run)]):
            code, output = invoke(*command)
            assert code == 1
            assert "run.json is damaged" in output
            assert "--repair" in output
    assert invoke("status", str(run), "--repair")[0] == 0
    assert invoke("select", str(run), "-n", "2")[0] == 0


def test_a_damaged_manifest_costs_only_what_its_lines_spoke_of(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = (run / "gradients" / "part-00001.safetensors").read_bytes()
    lines = (run / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if b"gradients/part-00001" in line)
    lines[number] = lines[number].replace(b"path", b"qath")
    (run / "manifest.jsonl").write_bytes(b"".join(lines))
    code, output = invoke("status", str(run), "--check")
    assert code == 1
    assert f"manifest.jsonl: line {number + 1} damaged" in output
    assert "part-00001.safetensors: without a digest" in output
    assert invoke("status", str(run), "--repair")[0] == 0
    assert (run / "gradients" / "part-00001.safetensors").read_bytes() == before


def test_a_damaged_subset_is_not_trained_on_unless_it_is_the_users_own(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "subset.jsonl").write_text((run / "subset.jsonl").read_text().replace("What", "whAt"))
    code, output = invoke("train", str(run), "--subset", str(run / "subset.jsonl"))
    assert code == 2
    assert "subset.jsonl: it is not what was written there" in output
    shutil.copy(run / "subset.jsonl", tmp_path / "mine.jsonl")
    settings = ["--set", "train.max_completion_length=12", "--dry-run"]
    code, output = invoke("train", str(run), "--subset", str(tmp_path / "mine.jsonl"), *settings)
    assert code == 0, output


@pytest.mark.slow
def test_a_damaged_evaluation_is_made_again(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    options = ["--name", "e", "--set", "rollout.max_completion_length=4", "--set", "data.limit=3"]
    code, output = invoke("eval", str(run), "--data", str(finished.parent / "pool.jsonl"), *options)
    assert code == 0, output
    names = ("eval/e.json", "eval/e/success.parquet", "eval/e/rollouts/part-00000.parquet")
    before = {name: (run / name).read_bytes() for name in names}
    for name in names:
        (run / name).write_bytes(before[name][:-1])
    code, output = invoke("status", str(run), "--repair")
    assert code == 0, output
    assert {name: (run / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_a_saved_matrix_is_made_again_by_the_choice_that_saved_it(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert invoke("select", str(run), "-n", "3", "--save-matrix", "--save-nystrom", "4")[0] == 0
    assert invoke("select", str(run), "-n", "2", "--method", "random")[0] == 0
    names = ("scores/matrix.safetensors", "scores/nystrom.safetensors", "subset.jsonl", "subset-random.jsonl")
    before = {name: (run / name).read_bytes() for name in names}
    (run / names[0]).unlink()
    (run / names[1]).write_bytes(before[names[1]][:-1])
    code, output = invoke("status", str(run), "--repair")
    assert code == 0, output
    assert {name: (run / name).read_bytes() for name in names} == before


def test_a_saved_matrix_of_an_earlier_version_is_not_given_up_in_silence(finished: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run", RunDir.peek(shutil.copytree(finished, tmp_path / "run")).config)
    matrix = select(run, 3, save_matrix=True).scores.with_name("matrix.safetensors")
    record = run.read_record()
    del record["stages"]["select"]["saved"]
    run._update(**record)
    damaged = matrix.read_bytes()[:-1]
    matrix.write_bytes(damaged)
    code, output = invoke("status", str(run.path), "--repair")
    assert code == 1
    assert f"{matrix}: an earlier version wrote it, and how is not known" in output
    assert matrix.read_bytes() == damaged
    assert run.read_record()["stages"]["select"]["status"] == "done"
    assert invoke("select", str(run.path), "-n", "3", "--save-matrix")[0] == 0
    assert invoke("status", str(run.path), "--check")[0] == 0


@pytest.mark.slow
def test_a_choice_is_repaired_with_its_seed(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for seed in ("3", "0"):
        code, output = invoke("select", str(run), "-n", "4", "--method", "random", "--seed", seed)
        assert code == 0, output
    names = ("subset-random-seed3.jsonl", "scores/random-seed3.parquet", "subset-random.json", "subset-random.jsonl")
    assert invoke("select", str(run), "-n", "2", "--set", "select.seed=4")[0] == 0  # of config.yaml from here on
    before = {name: (run / name).read_bytes() for name in names}
    for name in names:
        (run / name).unlink()
    code, output = invoke("status", str(run), "--repair")
    assert code == 0, output
    assert {name: (run / name).read_bytes() for name in names} == before


def test_what_no_command_makes_is_left_for_the_user(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    write_json(run / "staged.json", {"stages": []})
    (run / "staged.json").write_text("{}")
    code, output = invoke("status", str(run), "--repair")
    assert code == 1
    assert "staged.json: damaged" in output
    assert (run / "staged.json").read_text() == "{}"


def test_another_runs_manifest_is_named(finished: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", make_run(tmp_path / "other", warmup={"size": 0})
    load_prompts(other)
    shutil.copytree(finished, run)
    shutil.copy(other.path / "manifest.jsonl", run)
    for command in (["status", str(run)], ["select", str(run)], ["status", str(run), "--check"]):
        code, output = invoke(*command)
        assert code == 1
        assert "manifest.jsonl" in output
        assert "that of another run directory" in output
    code, output = invoke("status", str(run), "--repair")
    assert code == 0, output
    assert "made from the files as they are now" in output
