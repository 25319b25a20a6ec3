"""Trainings of several processes, started by `accelerate launch` on the CPU (gloo), beside those of one."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from learnalign import processes
from learnalign.config import GrpoConfig, UntilConfig
from learnalign.curriculum import Shuffled
from learnalign.errors import InputError, RunError
from learnalign.policy import load_policy
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.training import checkpoints, train
from learnalign.training.followers import Elsewhere, _job_of
from learnalign.training.job import Job, _check, _checkpoint, announcement
from learnalign.training.steps import check_shares
from learnalign.training.trainer import GrpoTrainer
from tests.training.launched import CONFIGS, launch, make, process_of, round_weights, start, wait_for, weights


def _begun(folder: Path) -> tuple[RunDir, subprocess.Popen[str]]:
    """A warmup of two processes that has a checkpoint, and its launcher."""
    run = make(folder, steps=60, trainer={"save_steps": 1})
    launcher = start("warmup", str(run.path), "--trust")
    wait_for(lambda: any((run.path / "work/warmup").glob("checkpoint-*/learnalign.json")))
    return run, launcher


@pytest.mark.slow
def test_two_processes_draw_the_prompts_and_make_the_update_of_one(tmp_path: Path) -> None:
    run = make(tmp_path, size=0, learning_rate=0.1, trainer={"optim": "sgd"})  # AdamW makes large steps of rounding
    pool, kept = str(tmp_path / "pool.jsonl"), "train.keep_checkpoints=2"
    code, output, errors = launch(
        "train", str(run.path), "--subset", pool, "--name", "two", "--set", kept, "--json", "--trust"
    )
    assert code == 0, errors
    assert json.loads(output)["steps"] == 2  # one result, not two
    assert errors.count("train: 2 steps") == 1
    train(run, pool, "one", overrides=[kept])
    one, two = run.path / "train/one", run.path / "train/two"
    visits = [pq.read_table(folder / "rewards.parquet").to_pydict() for folder in (one, two)]
    assert visits[0]["id"] == visits[1]["id"]
    assert len(visits[0]["id"]) == 8  # two steps of 8 completions, 2 for each prompt
    assert visits[0]["correct"][:4] == visits[1]["correct"][:4]  # the first step samples the same
    metrics = [json.loads((folder / "policy/metrics.jsonl").read_text().splitlines()[0]) for folder in (one, two)]
    assert metrics[0]["grad_norm"] > 0
    assert metrics[0]["grad_norm"] == pytest.approx(metrics[1]["grad_norm"], rel=1e-4)
    first = [weights(folder / "policies/step-000001") for folder in (one, two)]
    assert first[0].keys() == first[1].keys()
    start = weights(Path(run.config.model.name))
    for name in first[0]:
        torch.testing.assert_close(first[0][name], first[1][name], atol=1e-6, rtol=1e-4)
    assert any(not torch.equal(first[0][name], start[name]) for name in first[0])
    assert RunDir.open(two).read_record()["stages"]["train"]["status"] == "done"


@pytest.mark.slow
def test_settings_that_are_refused_are_said_once(tmp_path: Path) -> None:
    run = make(tmp_path, batch_size=6)  # three prompts a step
    code, _, errors = launch("warmup", str(run.path), "--trust")
    assert code == 1  # the launcher's own
    assert errors.count("learnalign: ") == 1
    assert "6 completions are 3 prompts a step, which 2 processes cannot share equally; set it to 4 or 8" in errors
    assert "exitcode  : 2" in errors  # process 0's


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_training_and_it_resumes(tmp_path: Path, victim: int) -> None:
    run, launcher = _begun(tmp_path)
    process_of(launcher, victim).send_signal(signal.SIGKILL)
    _, errors = launcher.communicate(timeout=200)
    assert launcher.returncode == 1
    assert errors.count("learnalign: ") <= 1, errors
    assert "this is a bug" not in errors
    assert not run.is_finished("warmup")
    code, _, errors = launch("warmup", str(run.path), "--trust")
    assert code == 0, errors
    assert run.read_record()["stages"]["warmup"]["resumed_steps"] > 0
    assert [json.loads(line)["step"] for line in (run.warmup_dir / "metrics.jsonl").open()] == list(range(1, 61))
    assert load_policy(run) is not None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_ends_all_and_is_said_once(tmp_path: Path, number: int) -> None:
    _, launcher = _begun(tmp_path)
    every = psutil.Process(launcher.pid).children(recursive=True)
    launcher.send_signal(number)
    _, errors = launcher.communicate(timeout=200)
    assert launcher.returncode != 0
    assert errors.count("learnalign: ") == 1
    assert "run the same command again to resume" in errors
    assert not [process for process in every if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_signal_to_one_process_ends_all_and_is_said_once(tmp_path: Path, victim: int) -> None:
    _, launcher = _begun(tmp_path)
    process_of(launcher, victim).send_signal(signal.SIGINT)
    _, errors = launcher.communicate(timeout=200)
    assert launcher.returncode != 0
    assert errors.count("learnalign: ") == 1, errors
    assert ("interrupted" if victim == 0 else "another process of this training has ended") in errors


@pytest.mark.parametrize("name", ["ddp", "fsdp", "deepspeed"])
def test_accelerate_reads_the_shipped_configurations(name: str) -> None:
    config: Any = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    kind = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "deepspeed": "DEEPSPEED"}[name]
    assert str(config.distributed_type.value) == kind
    assert (config.num_machines, config.mixed_precision, config.num_processes) == (1, "no", 2)
    options = {action.dest for action in launch_command_parser()._actions}
    section = {"ddp": {}, "fsdp": config.fsdp_config, "deepspeed": config.deepspeed_config}[name]
    prefixed = {key if key.startswith("fsdp_") or name == "deepspeed" else f"fsdp_{key}" for key in section}
    assert prefixed <= options
    assert bool(section) == (name != "ddp")


def test_shares_are_equal_or_refused_with_every_way_out() -> None:
    settings = GrpoConfig(batch_size=48, num_generations=8)
    for count in (1, 2, 3, 6):
        check_shares(settings, "warmup", count)
    with pytest.raises(InputError, match="48 completions are 6 prompts a step, which 4 processes") as refused:
        check_shares(settings, "warmup", 4)
    assert "set it to 32 or 64" in str(refused.value)
    assert "start 1 or 2 or 3 (accelerate launch --num_processes)" in str(refused.value)
    with pytest.raises(InputError, match=r"mini_batch_size: 3 completions an update .* give a multiple of 2"):
        check_shares(GrpoConfig(batch_size=24, num_generations=6, mini_batch_size=3), "train", 2)


def test_the_others_get_the_whole_job(tmp_path: Path) -> None:
    run = make(tmp_path)
    prompts = load_prompts(run)[3:7][::-1]
    job = Job(
        section="train",
        settings=run.config.warmup,
        prompts=prompts,
        curriculum=Shuffled(4, 0),
        start="start",
        reference="reference",
        algorithm="rloo",
        until=UntilConfig(patience=3),
        keep=4,
        work=tmp_path / "work",
        output=tmp_path / "output",
    )
    other, same = _job_of(json.loads(json.dumps(announcement(run, job))))
    assert (other.path, other.config) == (run.path, run.config)
    plain = {name: getattr(run.config.warmup, name) for name in GrpoConfig.model_fields}
    assert isinstance(same.curriculum, Elsewhere)
    assert replace(same, curriculum=job.curriculum) == replace(job, settings=GrpoConfig(**plain))


@pytest.mark.parametrize(
    ("made_by", "here", "asked", "words"),
    [
        (
            {"processes": 2},
            1,
            "",
            r"was made by 2 processes, this command has 1, .*accelerate launch --num_processes 2",
        ),
        ({}, 2, "", r"was made by 1 process, this command has 2, .*delete .*work to begin again"),
        (
            {"processes": 2},
            2,
            "FSDP",
            r"was made by DDP, this command has FSDP, .*--config_file\), or delete .*work to begin again",
        ),
        ({"processes": 2, "layout": "DeepSpeed"}, 2, "", r"was made by DeepSpeed, this command has DDP, "),
        ({"processes": 2, "layout": "FSDP"}, 2, "FSDP", None),
        ({"processes": 2}, 2, "", None),
        ({}, 1, "", None),
    ],
)
def test_a_checkpoint_of_other_processes_is_refused_with_every_way_out(
    made_by: dict[str, Any], here: int, asked: str, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    (work / "checkpoint-3").mkdir(parents=True)
    checkpoints.complete(work, 3, made_by)
    monkeypatch.setenv(f"ACCELERATE_USE_{asked}", "true")
    run = make(tmp_path)
    given: dict[str, Any] = {"section": "warmup", "settings": run.config.warmup, "prompts": [], "start": "start"}
    job = Job(**given, curriculum=Shuffled(1, 0), work=work, output=tmp_path / "output")
    monkeypatch.setattr(processes, "count", lambda: here)
    if words is None:
        assert _checkpoint(job) == work / "checkpoint-3"
    else:
        with pytest.raises(InputError, match=words):
            _checkpoint(job)


def test_a_reference_that_only_the_first_process_would_load_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    run = make(tmp_path, size=0)
    for name, value, refused in (("true", 0.04, True), ("true", 0.0, False), ("false", 0.04, False)):
        monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", name)
        settings = run.config.warmup.model_copy(update={"beta": value})
        given: dict[str, Any] = {"section": "train", "prompts": [], "curriculum": Shuffled(1, 0), "output": tmp_path}
        job = Job(**given, settings=settings, start=run.config.model.name, work=tmp_path / "work")
        with (
            pytest.raises(InputError, match=r"train.beta 0.04: .*set it to false .*beta=0")
            if refused
            else nullcontext()
        ):
            _check(run, job, longest=8)


def test_a_checkpoint_that_cannot_be_loaded_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, size=0, steps=3, trainer={"save_steps": 1})
    save = checkpoints.complete

    def ended(folder: Path, step: int, state: dict[str, Any]) -> None:
        save(folder, step, state)
        raise KeyboardInterrupt

    def failing(*_: Any, **__: Any) -> None:
        raise AssertionError("no device")

    with monkeypatch.context() as first, pytest.raises(KeyboardInterrupt):
        first.setattr(checkpoints, "complete", ended)
        train(run, str(tmp_path / "pool.jsonl"), "ended")
    with monkeypatch.context() as second:
        second.setattr(GrpoTrainer, "_load_optimizer_and_scheduler", failing)
        with pytest.raises(
            RunError, match=r"cannot go on from .*checkpoint-1 \(AssertionError: no device\).*delete .*work"
        ):
            train(run, str(tmp_path / "pool.jsonl"), "ended")
    assert train(run, str(tmp_path / "pool.jsonl"), "ended").steps == 3


def test_it_says_if_deepspeed_rounds_what_a_training_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path, size=0, trainer={"bf16": True, "use_cpu": True}, steps=1)
    train(run, str(tmp_path / "pool.jsonl"), "whole")
    monkeypatch.setattr(processes, "layout", lambda: "DeepSpeed")
    assert "rounds" not in capfd.readouterr().err
    train(run, str(tmp_path / "pool.jsonl"), "finer")
    assert f"train: DeepSpeed rounds {tmp_path / 'model'} to bfloat16 before it begins" in capfd.readouterr().err
    round_weights(tmp_path / "model")
    train(run, str(tmp_path / "pool.jsonl"), "rounded")
    assert "rounds" not in capfd.readouterr().err


def test_without_a_launcher_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")  # of a cluster's own
    assert (processes.count(), processes.rank(), processes.exchange([1])) == (1, 0, [[1]])
    assert processes.is_first_to_fail()
