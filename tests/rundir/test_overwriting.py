"""`--overwrite` deletes nothing before what replaces it is whole, and config.yaml tells how the results were made."""

import json
import os
import shutil
from pathlib import Path

import pytest

from learnalign.config import build_config, dump_config, load_config
from learnalign.errors import InputError, RunError
from learnalign.rundir import RunDir
from learnalign.rundir.checking import find_problems, put_back
from learnalign.rundir.files import read_text, verified, write_text

SETTINGS = {"model": {"name": "m"}, "data": {"path": "d"}}
OUTPUTS = {"pool": "prompts.parquet", "rollout": "success.parquet", "grad": "gradients/exact.parquet"}
OTHER = build_config({**SETTINGS, "grad": {"dim": 16}})


def finished(path: Path) -> RunDir:
    run = RunDir.create(path, build_config(SETTINGS))
    for stage, name in OUTPUTS.items():
        with run.stage(stage) as record:
            write_text(run.path / name, f"old {stage}")
            record.counts["prompts"] = 3
    return run


def content(path: Path) -> dict[str, bytes]:
    """Every file but the lock."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def test_what_differs_and_what_builds_on_it_is_replaced_at_the_end(tmp_path: Path) -> None:
    old = finished(tmp_path / "run")
    with RunDir.overwriting(old.path, OTHER, "grad") as run:
        assert run.is_finished("rollout")
        assert not run.is_finished("grad")
        assert read_text(run.success_file) == "old rollout"
        with run.stage("grad"):
            write_text(run.exact_file, "new")
        assert read_text(old.exact_file) == "old grad"
    assert run.path == old.path
    assert read_text(run.exact_file) == "new"
    assert read_text(run.success_file) == "old rollout"
    assert RunDir.open(old.path).is_finished("grad")
    assert load_config(old.config_file).grad.dim == 16
    assert not (old.path / ".next").exists()
    assert not find_problems(old.path)


def test_results_without_a_successor_go(tmp_path: Path) -> None:
    old = finished(tmp_path / "run")
    with RunDir.overwriting(old.path, old.config, "rollout") as run, run.stage("rollout"):
        write_text(run.success_file, "new")
    assert not old.exact_file.exists()
    assert set(run.read_record()["stages"]) == {"pool", "rollout"}
    assert not find_problems(old.path)


@pytest.mark.parametrize("error", [InputError("wrong"), RunError("broken"), KeyboardInterrupt()])
def test_a_failing_command_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    old = finished(tmp_path / "run")
    before = content(old.path)
    with pytest.raises(type(error)), RunDir.overwriting(old.path, OTHER, "grad") as run, run.stage("grad"):
        raise error
    after = content(old.path)
    assert {name: after[name] for name in before} == before


def test_a_killed_overwriting_resumes_and_the_old_results_stay_valid(tmp_path: Path) -> None:
    old = finished(tmp_path / "run")
    before = content(old.path)
    if (child := os.fork()) == 0:
        with RunDir.overwriting(old.path, OTHER, "grad") as run, run.stage("grad"):
            write_text(run.path / "gradients" / "part-00000", "first half")
            os._exit(9)
    os.waitpid(child, 0)
    assert {name: content(old.path)[name] for name in before} == before
    assert RunDir.open(old.path).is_finished("grad")
    with RunDir.overwriting(old.path, OTHER, "grad") as run, run.stage("grad"):
        assert read_text(run.path / "gradients" / "part-00000") == "first half"
        write_text(run.exact_file, "new")
    assert read_text(old.exact_file) == "new"
    assert not find_problems(old.path)


def test_another_request_begins_anew(tmp_path: Path) -> None:
    old = finished(tmp_path / "run")
    with pytest.raises(RunError), RunDir.overwriting(old.path, OTHER, "grad") as run, run.stage("grad"):
        write_text(run.path / "gradients" / "part-00000", "dim 16")
        raise RunError("out of memory")
    again = build_config({**SETTINGS, "grad": {"dim": 8}})
    with RunDir.overwriting(old.path, again, "grad") as run, run.stage("grad"):
        assert not (run.path / "gradients").exists()
        write_text(run.exact_file, "dim 8")
    assert list((old.path / "gradients").iterdir()) == [old.exact_file]


@pytest.mark.parametrize("writes", range(8))
def test_a_kill_before_the_first_result_loses_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    old = finished(tmp_path / "run")
    if (child := os.fork()) == 0:
        left, replace = [writes], os.replace

        def killed(source: Path, target: Path) -> None:
            replace(source, target)
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)

        monkeypatch.setattr(os, "replace", killed)
        with RunDir.overwriting(old.path, OTHER, "grad"):
            os._exit(0)
    os.waitpid(child, 0)
    with RunDir.overwriting(old.path, OTHER, "grad") as run:
        assert run.is_finished("pool")
        assert run.is_finished("rollout")
        with run.stage("grad"):
            write_text(run.exact_file, "new")
    assert set(RunDir.open(old.path).read_record()["stages"]) == set(OUTPUTS)
    assert not find_problems(old.path)


@pytest.mark.parametrize("renames", range(8))
def test_a_kill_while_results_change_places_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    old = finished(tmp_path / "run")
    if (child := os.fork()) == 0:
        with RunDir.overwriting(old.path, OTHER, "rollout") as run:
            for stage in ("rollout", "grad"):
                with run.stage(stage):
                    write_text(run.path / OUTPUTS[stage], f"new {stage}")
            left, replace = [renames], os.replace

            def killed(source: Path, target: Path) -> None:
                if Path(source).parent.name == ".next" and not Path(source).name.endswith(".tmp"):
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(9)
                replace(source, target)

            monkeypatch.setattr(os, "replace", killed)
        os._exit(0)
    os.waitpid(child, 0)
    run = RunDir.open(old.path)
    assert not (old.path / ".next").exists()
    assert {read_text(run.path / OUTPUTS[stage]) for stage in ("rollout", "grad")} == {"new rollout", "new grad"}
    assert run.config.grad.dim == 16
    assert not find_problems(old.path)


def test_a_kill_between_the_record_and_its_copy_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(tmp_path / "run")
    before = run.record_copy.read_bytes()
    if (child := os.fork()) == 0:
        replace = os.replace

        def killed(source: Path, target: Path) -> None:
            replace(source, target)
            if Path(target) == run.record_file:
                os._exit(9)

        monkeypatch.setattr(os, "replace", killed)
        run.record_inputs({"data": "other"})
    os.waitpid(child, 0)
    assert run.record_copy.read_bytes() == before != run.record_file.read_bytes()
    with RunDir.open(run.path).locked():
        assert run.record_copy.read_bytes() == run.record_file.read_bytes()
    assert not find_problems(run.path)


def test_the_last_file_written_is_missed_when_it_is_deleted(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    write_text(run.path / "norms.csv", "last")
    (run.path / "norms.csv").unlink()
    assert [problem.file for problem in find_problems(run.path)] == ["norms.csv"]


@pytest.mark.parametrize("left", ["none", "without the first line", "half a line more"])
def test_a_cut_manifest_is_named(tmp_path: Path, left: str) -> None:
    run = finished(tmp_path / "run")
    manifest = run.path / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    cut = {"none": [], "without the first line": lines[1:], "half a line more": [*lines, lines[-1][:9]]}[left]
    manifest.write_bytes(b"".join(cut))
    if left == "half a line more":
        (run.path / "config.yaml").write_text("{}")
        with pytest.raises(RunError, match=r"manifest\.jsonl tells, whose end is cut off"):
            verified(run.path / "config.yaml")
        write_text(run.path / "config.yaml", dump_config(run.config, run.path))
        manifest.write_bytes(manifest.read_bytes() + b'{"files":')
    assert [problem.file for problem in find_problems(run.path)] == ["manifest.jsonl"]
    if left == "half a line more":
        with RunDir.open(run.path).locked():  # a killed command leaves it so, and the next one mends it
            pass
    else:
        with pytest.raises(RunError, match=r"manifest\.jsonl is .* without its beginning.*--repair"):
            RunDir.open(run.path)
        put_back(run.path)
    assert not find_problems(run.path)


def test_a_second_command_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    first = finished(tmp_path / "run")
    with first.stage("select"):
        before = content(first.path)
        with pytest.raises(RunError, match="in use"), RunDir.overwriting(first.path, OTHER, "grad"):
            pass
        with pytest.raises(RunError, match="in use"), RunDir(first.path, OTHER).stage("grad"):
            pass
        assert content(first.path) == before


def test_settings_are_stored_with_the_stage_that_uses_them(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    smaller = RunDir.create(run.path, build_config({**SETTINGS, "select": {"size": 2}}))
    assert load_config(run.config_file).select.size == 1000
    with pytest.raises(InputError), smaller.stage("select"):
        raise InputError("the pool has 1 prompt")
    assert load_config(run.config_file).select.size == 1000
    with smaller.stage("select"):
        pass
    assert load_config(run.config_file).select.size == 2


def test_a_changed_config_is_used_only_if_it_is_named(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    text = run.config_file.read_text().replace("size: 1000", "size: 7")
    run.config_file.write_text(text)
    with pytest.raises(RunError, match=r"config.yaml was changed.*--config .*config.yaml.*--repair"):
        RunDir.open(run.path)
    assert load_config(run.config_file).select.size == 7


def test_a_run_directory_may_be_moved(tmp_path: Path) -> None:
    old = finished(tmp_path / "old")
    inside = build_config({"model": {"name": str(old.path / "warmup")}, "data": {"path": str(tmp_path / "outside")}})
    (old.path / "warmup").mkdir()
    with old.child("eval", "e", inside) as sub, sub.stage("rollout"):
        pass
    shutil.move(tmp_path / "old", tmp_path / "new")
    moved = RunDir.open(tmp_path / "new")
    config = RunDir.open(moved.path / "eval" / "e").config
    assert config.model.name == str(tmp_path / "new" / "warmup")
    assert config.data.path == str(tmp_path / "outside")
    with moved.child("eval", "e", config) as sub:
        assert sub.is_finished("rollout")


def test_a_directory_of_a_version_without_digests_is_taken_as_it_is(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    record = json.loads(run.record_file.read_text())
    del record["manifest"], record["config"]
    for name in ("manifest.jsonl", ".run.json"):
        (run.path / name).unlink()
    run.record_file.write_text(json.dumps(record))
    again = RunDir.open(run.path)
    assert again.is_finished("grad")
    with again.stage("select"):
        pass
    assert not find_problems(run.path)
    again.exact_file.write_text("other")
    assert [problem.file for problem in find_problems(run.path)] == ["gradients/exact.parquet"]


def test_digests_that_are_gone_are_missed(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    (run.path / "manifest.jsonl").unlink()
    with pytest.raises(RunError, match=r"manifest.jsonl is missing.*--repair"):
        RunDir.open(run.path)
