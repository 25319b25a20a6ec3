"""A run directory resumes what fits and refuses what does not."""

import contextlib
import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learnalign.config import build_config
from learnalign.errors import InputError, RunError
from learnalign.rundir import Quarantined, RunDir, Shard, this_moment
from learnalign.rundir.stages import STAGES, downstream, fingerprint, settings_of

SETTINGS = {"model": {"name": "m"}, "data": {"path": "d"}}


def make(path: Path, **sections: dict) -> RunDir:
    return RunDir.create(path, build_config({**SETTINGS, **sections}))


def test_the_same_settings_open_again_and_other_ones_are_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with run.stage("pool"), run.stage("rollout") as record:
        record.counts["prompts"] = 3
    assert make(tmp_path / "run").is_finished("rollout")
    with pytest.raises(
        InputError, match=r"rollout\.temperature: stored 1\.0, requested 0\.5(?s:.)*--overwrite(?s:.)*new run dir"
    ):
        make(tmp_path / "run", rollout={"temperature": 0.5})
    assert RunDir.open(tmp_path / "run").config.rollout.temperature == 1.0


def test_settings_that_change_no_result_may_change(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    for stage in STAGES:
        with run.stage(stage):
            pass
    rollout = {"engine": "transformers", "vllm": {"gpu_memory_utilization": 0.5}}
    again = make(tmp_path / "run", grad={"batch_tokens": 4096}, rollout=rollout, select={"size": 3})
    assert all(again.is_finished(stage) for stage in STAGES)


def test_what_vllm_samples_with_belongs_to_the_rollouts(tmp_path: Path) -> None:
    with make(tmp_path / "run").stage("rollout"):
        pass
    with pytest.raises(InputError, match=r"rollout\.vllm\.quantization"):
        make(tmp_path / "run", rollout={"vllm": {"quantization": "fp8"}})


def test_results_of_an_older_method_are_not_mixed_with_those_of_a_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(tmp_path / "run").stage("grad"):
        pass
    monkeypatch.setitem(STAGES, "grad", dataclasses.replace(STAGES["grad"], revision=9))
    with pytest.raises(InputError, match="grad: revision of the method: stored 2, requested 9"):
        RunDir.open(tmp_path / "run")


def test_a_change_makes_a_stage_and_what_builds_on_it_stale() -> None:
    old, new = (build_config({**SETTINGS, "warmup": {"size": size}}) for size in (1, 2))
    changed = {name for name in STAGES if fingerprint(old, {}, name) != fingerprint(new, {}, name)}
    assert changed == set(downstream("warmup"))
    assert {"rollout", "grad"} < changed
    assert "pool" not in changed


def test_every_key_of_the_papers_method_is_in_some_fingerprint() -> None:
    config = build_config({**SETTINGS, "data": {"path": "d", "limit": 5}})
    covered = {key for stage in STAGES for key in settings_of(config, stage)}
    for key in ("seed", "model.name", "verifier", "rollout.temperature", "grad.dim", "warmup.beta", "data.limit"):
        assert key in covered


BUSY = """
import sys, time
while time.process_time() < 0.4: pass
print(time.process_time(), flush=True)
sys.stdin.readline()
"""


def work() -> float:
    """Be busy in this process; its CPU seconds."""
    begun = time.process_time()
    while time.process_time() - begun < 0.4:
        pass
    return time.process_time() - begun


@contextlib.contextmanager
def worker() -> Iterator[float]:
    """A child that was busy and lives; its own measure of its CPU seconds."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield float(process.stdout.readline())
    process.communicate("\n")


def test_a_stage_s_cpu_time_is_that_of_its_process_and_of_children_ended_and_alive(tmp_path: Path) -> None:
    """Over two attempts; a child's work before the stage is not its own."""
    run = make(tmp_path / "run")
    with contextlib.ExitStack() as outliving:
        outliving.enter_context(worker())
        with run.stage("pool"):
            with worker() as ended:
                pass
            alive = outliving.enter_context(worker())
            own = work()
    first = run.read_record()["stages"]["pool"]["cpu_seconds"]
    assert first == pytest.approx(ended + alive + own, abs=0.2)
    with run.stage("pool"):
        second = work()
    assert run.read_record()["stages"]["pool"]["cpu_seconds"] == pytest.approx(first + second, abs=0.2)


def test_the_cpu_time_of_work_before_a_stage_s_block_counts_from_its_start(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    started = this_moment()
    with worker() as child:
        own = work()
        with run.stage("select", started):
            pass
    assert run.read_record()["stages"]["select"]["cpu_seconds"] == pytest.approx(own + child, abs=0.2)


def test_a_stage_that_a_former_version_began_has_no_cpu_time(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with run.stage("pool"):
        pass
    stages = run.read_record()["stages"]
    del stages["pool"]["cpu_seconds"]
    run._update(stages=stages)
    with run.stage("pool"):
        pass
    assert run.read_record()["stages"]["pool"]["cpu_seconds"] is None


def test_a_failed_stage_is_not_finished_and_keeps_its_time(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with pytest.raises(ZeroDivisionError), run.stage("pool"):
        raise ZeroDivisionError
    assert not run.is_finished("pool")
    assert run.read_record()["stages"]["pool"]["seconds"] >= 0


def test_two_commands_cannot_write_one_directory(tmp_path: Path) -> None:
    first, second = make(tmp_path / "run"), make(tmp_path / "run")
    with first.stage("pool"), first.stage("rollout"):
        with pytest.raises(RunError, match="in use"), second.stage("grad"):
            pass
    with second.stage("grad"):
        pass


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        RunDir.open(tmp_path)


def test_quarantine_replaces_its_own_stage_only(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.quarantine("pool", [Quarantined(row=1, reason="empty"), Quarantined(row=2, reason="too long: 9")])
    run.quarantine("grad", [Quarantined(id="x", reason="NaN")])
    run.quarantine("pool", [Quarantined(row=1, reason="empty")])
    assert [(line["stage"], line["reason"]) for line in run.quarantined()] == [("grad", "NaN"), ("pool", "empty")]


def test_records_say_what_made_them(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with run.stage("pool"):
        pass
    record = run.read_record()
    assert re.match(r"\d+\.\d+", record["versions"]["torch"])
    assert record["machine"]["cores"] >= 1
    assert record["stages"]["pool"]["status"] == "done"


def test_a_gain_training_depends_on_the_weight_that_orders_its_prompts(tmp_path: Path) -> None:
    gain = {"curriculum": "gain"}
    with make(tmp_path / "gain", train=gain, signal={"angle_weight": 2.0}).stage("train"):
        pass
    with pytest.raises(InputError, match=r"signal\.angle_weight: stored 2\.0, requested 5\.0"):
        make(tmp_path / "gain", train=gain, signal={"angle_weight": 5.0})
    with make(tmp_path / "shuffled", signal={"angle_weight": 2.0}).stage("train"):
        pass
    make(tmp_path / "shuffled", signal={"angle_weight": 5.0})


def test_keys_that_came_later_change_no_fingerprint_at_their_defaults() -> None:
    """What a training depended on before `train.algorithm`, `steps`, `until` and others came; and the pool not on π_ref."""
    config = build_config({"model": {"name": "m"}, "data": {"path": "d"}})
    later = ("algorithm", "steps", "until", "keep_checkpoints", "mini_batch_size")
    assert not [key for key in settings_of(config, "train") if key.startswith(tuple(f"train.{name}" for name in later))]
    changed = build_config(
        {"model": {"name": "m", "reference": "r"}, "data": {"path": "d"}, "train": {"algorithm": "rloo"}}
    )
    assert settings_of(changed, "train")["train.algorithm"] == "rloo"
    differing = [stage for stage in STAGES if settings_of(changed, stage) != settings_of(config, stage)]
    assert differing == ["warmup", "train", "grad"]
    without = changed.model_copy(update={"warmup": changed.warmup.model_copy(update={"size": 0})})
    assert "model.reference" not in settings_of(without, "warmup")


def test_a_stage_that_refuses_a_setting_has_not_begun_and_may_have_another(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with pytest.raises(InputError), run.stage("rollout"):
        raise InputError("refused")
    assert "rollout" not in run.read_record()["stages"]
    assert make(tmp_path / "run", rollout={"temperature": 0.5}).config.rollout.temperature == 0.5


def test_a_finished_stage_stays_finished_if_another_call_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with run.stage("signal") as record:
        record.counts["values"] = 3
    finished = run.read_record()["stages"]["signal"]
    with pytest.raises(InputError), run.stage("signal"):
        raise InputError("refused")
    assert run.read_record()["stages"]["signal"] == finished


def test_a_stage_that_has_stored_something_has_begun_whatever_ends_it(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with pytest.raises(InputError), run.stage("rollout"):
        run.rollouts_file(Shard(0, 0, 1)).parent.mkdir()
        run.rollouts_file(Shard(0, 0, 1)).touch()
        raise InputError("refused later")
    with pytest.raises(InputError, match=r"rollout\.temperature: stored 1\.0, requested 0\.5"):
        make(tmp_path / "run", rollout={"temperature": 0.5})


def test_results_judged_by_an_older_version_of_the_built_in_verifiers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setitem(STAGES, "pool", dataclasses.replace(STAGES["pool"], more=lambda config: {}))
        run = make(tmp_path / "run")
        with run.stage("pool"), run.stage("rollout"):
            run.success_file.touch()
    with pytest.raises(InputError, match="pool: verdicts of the built-in verifiers: stored null, requested 2"):
        RunDir.open(tmp_path / "run")
    own = build_config({**SETTINGS, "verifier": "judges:mine"})
    assert "verdicts of the built-in verifiers" not in settings_of(own, "pool")
