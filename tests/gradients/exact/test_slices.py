"""Exact alignments by several processes: slices, workers, and what is left by those that are killed."""

import contextlib
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from learnalign.errors import RunError, Unfinished
from learnalign.gradients import grad
from learnalign.gradients.exact import stage as exact_stage
from learnalign.gradients.exact.alignment import accumulate
from learnalign.rundir import RunDir, Slice
from learnalign.rundir.files import read_parquet
from tests.executor import slices
from tests.executor.test_slices import start
from tests.gradients.pool import run_with_rollouts

SETTINGS = {"grad": {"projection": "exact"}, "executor": {"shard_size": 2}}


def sliced(run: RunDir, text: str) -> RunDir:
    return RunDir.create(run.path, run.config, slice=Slice.parse(text))


def alignments(run: RunDir) -> dict[str, float]:
    return {row["id"]: row["alignment"] for row in read_parquet(run.exact_file).to_pylist()}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Rollouts, and no gradients yet."""
    return run_with_rollouts(tmp_path_factory.mktemp("template"), **SETTINGS)


@pytest.fixture(scope="module")
def alone(template: RunDir, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Made by one process."""
    run = copied(template, tmp_path_factory.mktemp("alone"))
    grad(run)
    return run


@pytest.fixture
def run(template: RunDir, tmp_path: Path) -> RunDir:
    return copied(template, tmp_path)


def copied(run: RunDir, folder: Path) -> RunDir:
    return RunDir(shutil.copytree(run.path, folder / "run"), run.config)


def stored(run: RunDir) -> list[tuple[str, int]]:
    """What both passes have stored so far."""
    files = (run.exact_file.parent / "exact").glob("p*")
    with contextlib.suppress(FileNotFoundError):
        return sorted((file.name, file.stat().st_mtime_ns) for file in files)
    return []


class Stop(Exception):
    """Stands for a process that is killed."""


def counted(monkeypatch: pytest.MonkeyPatch, limit: int | None = None) -> list[str]:
    """Save after each window; the ids of the samples that are added, until `limit` windows have been."""
    added: list[str] = []
    windows = [0]

    def call(engine, samples, *rest):
        if windows[0] == limit:
            raise Stop
        windows[0] += 1
        added.extend(sample.id for sample in samples)
        return accumulate(engine, samples, *rest)

    monkeypatch.setattr(exact_stage, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(exact_stage, "accumulate", call)
    return added


def test_slices_say_what_is_to_do_and_leave_what_one_process_leaves(run: RunDir, alone: RunDir) -> None:
    with pytest.raises(
        Unfinished, match=r"slice 1/2 of grad \(pass 1 of 2\) is done; 3 of 6 .*run each again for pass 2"
    ):
        grad(sliced(run, "1/2"))
    with pytest.raises(
        Unfinished, match=r"slice 2/2 of grad \(pass 2 of 2\) is done; 3 of 6 .*the slice that ends last completes it"
    ):
        grad(sliced(run, "2/2"))
    assert grad(sliced(run, "1/2")) == grad(alone)
    assert alignments(run) == pytest.approx(alignments(alone), rel=1e-5)
    assert [path.name for path in run.exact_file.parent.iterdir()] == ["exact.parquet"]
    assert run.is_finished("grad")
    assert grad(sliced(run, "2/2")) == grad(alone)  # nothing is left to do


@pytest.mark.slow
def test_a_slice_that_was_killed_is_gone_on_with_by_any_other(
    run: RunDir, alone: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        first = counted(patch, limit=2)
        with pytest.raises(Stop):
            grad(sliced(run, "1/1"))
    second = counted(monkeypatch)
    for text in ("2/3", "1/3", "3/3"):
        with contextlib.suppress(Unfinished):
            grad(sliced(run, text))
    assert grad(run) == grad(alone)
    assert first
    assert sorted(first + second) == sorted(alignments(alone))  # no gradient was added twice
    assert alignments(run) == pytest.approx(alignments(alone), rel=1e-5)


@pytest.mark.slow
def test_a_sum_without_a_number_is_that_of_an_earlier_version(
    run: RunDir, alone: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        first = counted(patch, limit=3)
        with pytest.raises(Stop):
            grad(run)
    folder = run.exact_file.parent / "exact"
    with run.locked():
        tensors, metadata = exact_stage.read_safetensors(folder / "pass-1-00000.safetensors")
        own = {"state": metadata["state"]}
        exact_stage.write_safetensors(folder / "pass-1.safetensors", tensors, own, run.fingerprint("grad"))
        exact_stage.remove(folder / "pass-1-00000.safetensors")
    second = counted(monkeypatch)
    assert grad(run) == grad(alone)
    assert sorted(first + second) == sorted(alignments(alone))
    assert alignments(run) == pytest.approx(alignments(alone), rel=1e-5)


@pytest.mark.parametrize("harm", ["twice", pytest.param("damaged", marks=pytest.mark.slow)])
def test_a_sum_that_cannot_be_used_is_added_anew(
    run: RunDir, alone: RunDir, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    with monkeypatch.context() as patch:
        counted(patch, limit=2)
        with pytest.raises(Stop):
            grad(run)
    file = run.exact_file.parent / "exact" / "pass-1-00000.safetensors"
    if harm == "twice":  # a worker was taken for lost, and another one did its shards
        with run.locked():
            tensors, metadata = exact_stage.read_safetensors(file)
            again = file.with_name("pass-1-00007.safetensors")
            exact_stage.write_safetensors(again, tensors, {"state": metadata["state"]}, run.fingerprint("grad"))
    else:
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
    assert grad(run) == grad(alone)
    assert alignments(run) == pytest.approx(alignments(alone), rel=1e-5)


def test_a_shard_that_is_in_two_sums_is_noticed(run: RunDir, alone: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while pass 1 runs: the worker that was taken for lost stores its sum late."""
    second_pass = exact_stage._make_second_pass

    def late(run: RunDir):
        file = run.exact_file.parent / "exact" / "pass-1-00000.safetensors"
        tensors, metadata = exact_stage.read_safetensors(file)
        own = {"state": metadata["state"]}
        exact_stage.write_safetensors(file.with_name("pass-1-00001.safetensors"), tensors, own, run.fingerprint("grad"))
        return second_pass(run)

    with monkeypatch.context() as patch:
        patch.setattr(exact_stage, "_make_second_pass", late)
        with pytest.raises(RunError, match="has a shard twice, or lacks one; run the same command again"):
            grad(run)
    assert grad(run) == grad(alone)
    assert alignments(run) == pytest.approx(alignments(alone), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [{"devices": 2}, {"kind": "ray"}], ids=["local", "ray"])
def test_two_workers_leave_what_one_does(tmp_path: Path, alone: RunDir, workers: dict[str, Any]) -> None:
    if "kind" in workers:
        pytest.importorskip("ray", reason="ray is not installed")
    run = run_with_rollouts(tmp_path / "two", grad={"projection": "exact"}, executor={"shard_size": 2, **workers})
    assert grad(run) == grad(alone)
    assert alignments(run) == pytest.approx(alignments(alone), rel=1e-5)
    if "devices" in workers:  # on a cluster, the second may come when all is done
        assert run.read_record()["stages"]["grad"]["workers"] == 2


@pytest.mark.slow
def test_slices_that_are_killed_at_any_time_lose_and_double_nothing(run: RunDir, alone: RunDir) -> None:
    draw, killed = random.Random(0), 0
    while not run.exact_file.is_file():
        before = stored(run)
        processes = [start(slices.saving_stage, run.path, run.config, f"{i}/2") for i in (1, 2)]
        while stored(run) == before and any(process.is_alive() for process in processes):
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.1))
        for process in processes:
            killed += process.is_alive()
            process.kill()
            process.join()
    assert killed > 1
    assert grad(run) == grad(alone)
    assert alignments(run) == pytest.approx(alignments(alone), rel=1e-5)
