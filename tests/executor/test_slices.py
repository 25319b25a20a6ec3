"""Processes that share a run directory, each with a part of the shards."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import dump_config
from learnalign.errors import InputError, RunError, Unfinished
from learnalign.executor import Work, execute
from learnalign.prompts import load_prompts
from learnalign.rollouts import stage as rollouts
from learnalign.rundir import RunDir, Shard, Slice
from learnalign.selection import select
from learnalign_cli.grad import grad as grad_command
from learnalign_cli.rollout import rollout as rollout_command
from tests.executor import slices
from tests.executor.workers import done, work
from tests.tiny import make_config, make_run

SHAPE: dict[str, Any] = {
    "rollout": {"engine": "transformers", "num_generations": 4, "max_completion_length": 6},
    "grad": {"dim": 64, "width": 4},
    "executor": {"shard_size": 2},
}


def start(work: Any, *arguments: Any) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([slices.__name__])
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def sliced(run: RunDir, text: str) -> RunDir:
    return RunDir.create(run.path, run.config, slice=Slice.parse(text))


def test_slices_are_all_shards_once() -> None:
    shards = [Shard(i, i, i + 1) for i in range(10)]
    parts = [[shard.index for shard in shards if shard in Slice.parse(f"{i}/4")] for i in (1, 2, 3, 4)]
    assert parts == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "1/4/2", "a/b", "", "1.0/4", "²/4"])
def test_a_slice_that_is_none_says_how_one_looks(text: str) -> None:
    with pytest.raises(InputError, match=r"--slice .*: give i/k, with i from 1 to k"):
        Slice.parse(text)


@pytest.mark.slow
def test_slices_that_run_at_once_leave_what_one_process_leaves(tmp_path: Path) -> None:
    """From an empty directory, which all of them make, with all stages that take slices."""
    whole = make_run(tmp_path / "whole", verifier="tests.rollouts.judges:by_first_letter", **SHAPE)
    shared = RunDir(tmp_path / "shared", whole.config)
    slices.stages(whole.path, whole.config, None)
    for name in ("rollout", "grad", "signal"):
        ended = [start(slices.stage, shared.path, whole.config, f"{i}/3", name) for i in (1, 2, 3)]
        for process in ended:
            process.join()
        assert [process.exitcode for process in ended] == [0, 0, 0]
        assert RunDir.peek(shared.path).is_finished(name)
    for run in (whole, RunDir.open(shared.path)):
        select(run, 4)
        select(run, 4, "ppl-middle")
    kinds = ("rollouts/*", "gradients/*", "signals/*", "success.parquet", "subset*.jsonl", "quarantine.jsonl")
    files = [file for kind in kinds for file in sorted(whole.path.glob(kind)) if file.is_file()]
    assert len(files) > 14
    for file in files:
        name = file.relative_to(whole.path)
        assert file.read_bytes() == (shared.path / name).read_bytes(), name
    record, alone = shared.read_record()["stages"], whole.read_record()["stages"]
    assert {name: entry.get("counts") for name, entry in record.items()} == {
        name: entry.get("counts") for name, entry in alone.items()
    }


def test_a_slice_says_what_is_left_and_the_last_one_ends_the_stage(tmp_path: Path) -> None:
    run = make_run(tmp_path, **SHAPE)
    load_prompts(run)
    with pytest.raises(
        Unfinished, match="slice 2/2 of rollout is done; 3 of 6 shards of the stage are stored"
    ) as first:
        with sliced(run, "2/2").stage("rollout"):
            execute(sliced(run, "2/2"), work(run))
    assert first.value.state == {"slice": "2/2", "stage": "rollout", "shards": 6, "stored": 3}
    assert run.read_record()["stages"]["rollout"]["status"] == "begun"
    with sliced(run, "1/2").stage("rollout"):
        execute(sliced(run, "1/2"), work(run))
    assert run.read_record()["stages"]["rollout"]["status"] == "done"
    assert done(run) == [1] * 6


def test_two_processes_of_one_slice_do_not_do_a_shard_twice(tmp_path: Path) -> None:
    run = make_run(tmp_path, **SHAPE)
    load_prompts(run)
    twins = [start(slices.slow_work, run.path, "1/1") for _ in range(2)]
    for process in twins:
        process.join()
    assert [process.exitcode for process in twins] == [0, 0]
    assert done(run) == [1] * 6


@pytest.mark.parametrize(
    ("holds", "refused", "let_in"),
    [("1/2", [None], ["2/2", "1/2"]), (None, ["1/2", None], []), ("3/3", [None], ["3/3"])],
)
def test_slices_keep_other_commands_out_and_those_keep_slices_out(
    tmp_path: Path, holds: str | None, refused: list[str | None], let_in: list[str]
) -> None:
    run = make_run(tmp_path, **SHAPE)
    context = multiprocessing.get_context("forkserver")
    started, ending = context.Event(), context.Event()
    process = start(slices.hold, run.path, holds, started, ending)
    assert started.wait(60)
    for other in refused:
        with pytest.raises(RunError, match="in use by another learnalign command"):
            with (sliced(run, other) if other else RunDir.open(run.path)).locked():
                pass
    for other in let_in:
        with sliced(run, other).locked():
            pass
    ending.set()
    process.join()


def test_gradients_of_a_slice_wait_for_the_rollouts_of_all(tmp_path: Path) -> None:
    from learnalign.gradients import grad

    run = sliced(make_run(tmp_path, **SHAPE), "1/2")
    with pytest.raises(
        RunError, match="which need the rollouts of all slices; run `learnalign rollout .*` first, with --slice i/2"
    ):
        grad(run)


@pytest.mark.parametrize("first", [True, False])
def test_slices_that_begin_at_once_sample_with_one_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """One on a machine with vLLM, the other on one without it."""
    run = make_run(tmp_path, **{**SHAPE, "rollout": {**SHAPE["rollout"], "engine": "auto"}})
    engines, find, installed = list[str](), importlib.util.find_spec, [first]

    def spec(name: str) -> Any:
        return ("vllm" if installed[0] else None) if name == "vllm" else find(name)

    def begin(run: RunDir, work: Work) -> None:
        engines.append(work.options["engine"])
        raise Unfinished("begun")

    monkeypatch.setattr(importlib.util, "find_spec", spec)
    monkeypatch.setattr(rollouts, "execute", begin)
    with pytest.raises(Unfinished):
        rollouts.rollout(sliced(run, "1/2"), anyway=True)
    installed[0] = not first
    with pytest.raises(InputError if first else Unfinished, match="vllm is no longer installed|begun"):
        rollouts.rollout(sliced(run, "2/2"), anyway=True)
    assert set(engines) == {"vllm" if first else "transformers"}


def test_a_slice_with_other_settings_is_told_what_it_can_do(tmp_path: Path) -> None:
    run = make_run(tmp_path, **SHAPE)
    load_prompts(run)
    with run.stage("rollout"):
        pass
    other = make_config(tmp_path, **{**SHAPE, "rollout": {**SHAPE["rollout"], "temperature": 0.7}})
    with pytest.raises(InputError, match=r"rollout.temperature: stored 1.0, .*; pass --overwrite without --slice to"):
        RunDir.create(run.path, other, slice=Slice(1, 2))


@pytest.mark.parametrize("command", [rollout_command, grad_command])
def test_a_dry_run_knows_slices(tmp_path: Path, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(dump_config(make_config(tmp_path, **SHAPE)))
    with pytest.raises(InputError, match="--slice '4/3': give i/k"):
        command(tmp_path / "run", config=str(config), slice="4/3", dry_run=True)
    command(tmp_path / "run", config=str(config), slice="1/3", dry_run=True)
    assert "rollout by 3 workers, grad by 3 workers" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("function", ["flock", "lockf"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOLCK, "its file system cannot lock files"),
        (errno.ESTALE, "its network file system does not answer; when it is there again, run the same command again"),
        (errno.ENOSPC, "no space left on the disk"),
    ],
)
def test_a_file_system_without_locks_and_one_that_is_lost_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, words: str
) -> None:
    run = sliced(make_run(tmp_path, **SHAPE), "1/2")
    load_prompts(run)

    def fail(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, function, fail)
    with pytest.raises(RunError, match=words), run.stage("rollout"):
        execute(run, work(run))
