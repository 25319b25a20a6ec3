"""The estimate of a stage's time: by the rate that was measured in the run, or rough, and then said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign import executor
from learnalign.config import Config, ExecutorConfig, dump_config, load_config
from learnalign.errors import InputError, RunError
from learnalign.executor import local
from learnalign.plan import PoolSize, Work, plan
from learnalign.plan import work as work_of
from learnalign.rates import Machine, estimate, rates_of
from learnalign.rollouts import rollout
from learnalign.rundir import RunDir, rundir
from learnalign.rundir.machine import Moment, describe_machine
from learnalign.rundir.rates import rate_of
from learnalign_cli.run import run as command
from tests.tiny import make_config, make_run

H100 = Machine(parameters=1_500_000_000, peak=990e12, gpu=True)
CPU = Machine(parameters=1_500_000_000, peak=60e9, gpu=False)


def work(**changes: Any) -> Work:
    return Work(**{"stage": "rollout", "prompts": 100, "tokens": 8_000_000, "disk_bytes": 0, **changes})


@pytest.mark.parametrize("stage", ["warmup", "rollout", "grad", "train"])
def test_a_rough_estimate_grows_with_the_work_and_the_model_and_falls_with_the_machine(
    stage: str, tmp_path: Path
) -> None:
    config = make_config(tmp_path)
    one = estimate(work(stage=stage, steps=9), config, H100, {})
    assert not one.measured
    assert " to " in str(one)
    assert one.low < one.high
    assert estimate(work(stage=stage, steps=9, tokens=16_000_000), config, H100, {}).high > one.high
    assert estimate(work(stage=stage, steps=9), config, CPU, {}).low > one.high


def test_the_rates_of_finished_stages_are_in_run_json_and_estimate_the_next(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rollout(run)
    entry = run.read_record()["stages"]["rollout"]
    rate = entry["rate"]
    assert rate["tokens_per_second"] == pytest.approx(entry["counts"]["tokens"] / entry["seconds"])
    again = plan(run.config, ["rollout", "grad"], run=run)
    assert [one.time.measured for one in again.stages if one.time] == [True, False]
    config, time = run.config, again.stages[0].time
    assert time is not None
    samples = again.prompts * config.rollout.num_generations
    expected = samples * (entry["counts"]["tokens"] / entry["counts"]["samples"]) / rate["tokens_per_second"]
    assert time.low < expected < time.high
    assert (time.low * time.high) ** 0.5 == pytest.approx(expected)


def test_the_rough_range_holds_what_the_paper_measured() -> None:
    """LearnAlign, Table 10: Qwen2.5-3B on DAPO-Math-17k and one H100, warmup 2 h 2 min, rollouts 2 h 41 min."""
    config, pool = load_config("dapo-math-17k"), PoolSize(17_000, 17_000 * 150)
    machine = Machine(parameters=3_090_000_000, peak=990e12, gpu=True)
    for stage, hours in (("warmup", 2 + 2 / 60), ("rollout", 2 + 41 / 60)):
        time = estimate(work_of(stage, config, pool), config, machine, {})
        assert time.low < 3600 * hours < time.high


def test_rates_of_another_machine_do_not_count() -> None:
    stages = {"grad": {"rate": {"gradients_per_second": 2.0}}, "pool": {}}
    assert rates_of({"machine": describe_machine(), "stages": stages}) == {"grad": {"gradients_per_second": 2.0}}
    assert rates_of({"machine": {**describe_machine(), "cores": -1}, "stages": stages}) == {}
    assert rates_of(None) == {}


def test_imported_rollouts_have_no_rate() -> None:
    counts = {"tokens": 50, "samples": 5}
    assert rate_of("rollout", {"counts": counts, "seconds": 2.0}) == {}
    assert rate_of("rollout", {"counts": counts, "seconds": 2.0, "engine": "vllm"})["tokens_per_second"] == 25
    assert rate_of("warmup", {"counts": {"steps": 4}, "seconds": 2.0}) == {"seconds_per_step": 0.5}
    assert rate_of("warmup", {"counts": {"steps": 0}, "seconds": 2.0}) == {}


def dry_run(folder: Path, config: Config, capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    (folder / "c.yaml").write_text(dump_config(config))
    command(folder / "run", config=str(folder / "c.yaml"), dry_run=True, **options)
    return capsys.readouterr().out


def test_a_dry_run_says_the_answer_and_the_settings_only_on_verbose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warmup = {"size": 4, "batch_size": 8, "num_generations": 4, "max_completion_length": 8}
    config = make_config(tmp_path, warmup=warmup, select={"size": 5})
    config = config.model_copy(update={"model": config.model.model_copy(update={"name": str(tmp_path / "model")})})
    said = dry_run(tmp_path, config, capsys)
    assert "learning_rate" not in said
    assert all(
        word in said for word in ("parameters of the model", "rough", "free", "warmup", "nothing stands in the way")
    )
    assert said.startswith("it can run: nothing stands in the way\n")
    assert "select: 5 of 12 prompts by method learnalign, if as many are solved sometimes" in said
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 10})())
    said = dry_run(tmp_path, config, capsys)
    assert said.startswith("it may run out of disk")
    assert "10 B free" in said
    told = json.loads(dry_run(tmp_path, config, capsys, as_json=True))
    assert (told["free_bytes"], told["chosen"]) == (10, 5)
    monkeypatch.setattr("sys.argv", ["learnalign", "--verbose"])
    assert "learning_rate" in dry_run(tmp_path, config, capsys)
    assert not RunDir(tmp_path / "run", config).config_file.exists()


def test_a_dry_run_says_which_stages_were_made_with_other_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, select={"size": 5})
    rollout(run)
    command(run.path, overrides=["rollout.temperature=0.5"], dry_run=True)
    said = capsys.readouterr().out
    assert "stale: rollout (rollout.temperature: stored 1.0, requested 0.5)" in said
    assert said.startswith("it cannot run here: stages were made with other settings")
    command(run.path, dry_run=True)
    assert "stale" not in capsys.readouterr().out


def test_a_dry_run_refuses_a_method_whose_signal_no_stage_computes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from learnalign.errors import InputError

    with pytest.raises(InputError, match="select.method: ifd reads the signal ifd"):
        dry_run(tmp_path, make_config(tmp_path, warmup={"size": 0}, select={"method": "ifd", "size": 5}), capsys)


def test_hours_are_those_of_the_workers_that_there_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, executor={"shard_size": 2})
    run._update(stages={"rollout": {"rate": {"tokens_per_second": 1e-3, "tokens_per_sample": 2.0}}})

    def stages(slices: int = 1, **executor: Any) -> dict[str, Work]:
        executor = {**run.config.executor.model_dump(), **executor}
        config = run.config.model_copy(update={"executor": ExecutorConfig(**executor)})
        return {one.stage: one for one in plan(config, ["warmup", "rollout", "grad"], run=run, slices=slices).stages}

    one = stages()  # of six shards
    alone = one["rollout"].time
    assert alone is not None
    for workers, more in ((2, {"devices": 2}), (3, {"slices": 3}), (6, {"slices": 3, "devices": 2})):
        shared = stages(**more)
        assert [work.workers for work in shared.values()] == [1, workers, workers]
        assert shared["rollout"].time == alone.over(workers, 6)
        assert shared["warmup"].time == one["warmup"].time
        assert shared["grad"].time == one["grad"].time  # rough, with all cores of the machine already
    assert stages(slices=100)["rollout"].time == alone.over(6, 6)
    assert stages(kind="ray", devices=4)["rollout"].time == alone.over(4, 6)
    for module in (executor, local):
        monkeypatch.setattr(module, "visible_gpus", lambda: ["0", "1"])
    assert one["grad"].time is not None
    assert stages()["grad"].time == one["grad"].time.over(2, 6)
    with pytest.raises(InputError, match="there is no GPU 3"):
        stages(devices=[0, 3])


def test_a_rate_counts_the_workers_that_each_command_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, clock = make_run(tmp_path), iter([0.0, 10.0, 100.0, 120.0])
    monkeypatch.setattr(rundir, "this_moment", lambda: Moment(next(clock), 0.0))
    with pytest.raises(RunError), run.stage("grad"):
        run.note_workers("grad", 4)
        raise RunError("killed")
    with run.stage("grad") as record:
        record.counts.update(features=60, tokens=600)
    assert run.read_record()["stages"]["grad"]["rate"]["gradients_per_second"] == 60 / (4 * 10 + 20)


def test_the_peak_memory_of_a_stage_is_that_of_the_command_that_took_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the last one, which may have had nothing left to do."""
    run = make_run(tmp_path)
    for peaks in ({"process": 2.0, "child": 0.1}, {"process": 0.4, "child": 0.3}):
        monkeypatch.setattr(rundir, "peak_memory_gb", lambda peaks=peaks: peaks)
        with run.stage("grad"):
            pass
    assert run.read_record()["stages"]["grad"]["peak_memory_gb"] == {"process": 2.0, "child": 0.3}
