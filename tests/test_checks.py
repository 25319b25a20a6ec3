"""What `--dry-run` and the start of `run` can tell, they tell: before anything is sampled, trained or written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from learnalign.checks import check
from learnalign.config import Config, dump_config
from learnalign.errors import InputError
from learnalign.gradients import grad
from learnalign.plan import plan
from learnalign.prompts import load_prompts
from learnalign.rounds import in_process, plan_rounds, train_in_rounds
from learnalign.rundir import RunDir
from learnalign.training import train
from learnalign_cli.app import app
from learnalign_cli.run import run
from learnalign_cli.select import select
from tests.tiny import make_config, make_run

RUN = ("warmup", "rollout", "grad", "select")
WARMUP = {"size": 4, "batch_size": 8, "num_generations": 4, "max_completion_length": 8}
# Told by both; the second half by --dry-run, and by `run` in its first stage.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a subset larger than the pool": ({"select": {"size": 13}}, "size 13 is more than the 12 prompts of the pool"),
    "a pattern that names nothing": ({"grad": {"modules": "["}}, r"grad.modules: '\[' matches no linear layer"),
    "a batch of no whole groups": ({"warmup": {**WARMUP, "batch_size": 9}}, "warmup.batch_size: got 9"),
    "a batch of no whole updates": ({"warmup": {**WARMUP, "mini_batch_size": 3}}, "warmup.mini_batch_size: got 3"),
    "a group of one": ({"warmup": {**WARMUP, "num_generations": 1}}, "warmup.num_generations: got 1"),
    "training without end": ({"warmup": {**WARMUP, "num_train_epochs": 1e6}}, "warmup.num_train_epochs: got 1e"),
    "attention of no such name": ({"model": {"attn": "foo"}}, "model.attn: foo"),
    "a verifier that is not there": ({"verifier": "nowhere:f"}, "no module 'nowhere'"),
    "features that exact has not": ({"grad": {"projection": "exact"}, "select": {"method": "dot"}}, "select.method"),
}
TRL: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"trainer": {"foo": 1}}, "warmup.trainer.foo"),
    "an unknown schedule": ({"lr_scheduler_type": "foo"}, "foo is not a valid SchedulerType"),
    "an unknown optimiser": ({"trainer": {"optim": "x"}}, "TRL refuses these settings"),
    "longer than the model's context": ({"max_completion_length": 500}, r"warmup.max_completion_length: got 500"),
}


def _config(folder: Path, **sections: Any) -> Config:
    config = make_config(folder, **{"warmup": WARMUP, **sections})
    model = {**config.model.model_dump(), **sections.get("model", {}), "name": str(folder / "model")}
    return config.model_copy(update={"model": config.model.model_validate(model)})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_by_the_dry_run_and_at_the_start_of_run(tmp_path: Path, fault: str) -> None:
    sections, words = FAULTS[fault]
    config = _config(tmp_path, **sections)
    with pytest.raises(InputError, match=words):
        plan(config, RUN[:3], RUN)
    prompts = load_prompts(RunDir.create(tmp_path / "run", _config(tmp_path)))
    with pytest.raises(InputError, match=words):
        check(config, RUN, prompts)


@pytest.mark.parametrize("fault", TRL)
def test_what_trl_refuses_is_told_by_the_dry_run(tmp_path: Path, fault: str) -> None:
    settings, words = TRL[fault]
    with pytest.raises(InputError, match=words):
        plan(_config(tmp_path, warmup={**WARMUP, **settings}), RUN[:3], RUN)
    train = {**WARMUP, **settings, "size": 0}
    with pytest.raises(InputError, match=words.replace("warmup", "train")):
        plan(_config(tmp_path, warmup=train), ["train"])


@pytest.mark.parametrize("section", ["warmup", "train"])
def test_what_the_context_cannot_hold_is_told_at_the_start_of_run(tmp_path: Path, section: str) -> None:
    sections = {"warmup": WARMUP, "train": {"max_completion_length": 8}}
    sections[section] = {**sections[section], "max_completion_length": 500}
    made = RunDir.create(tmp_path / "run", _config(tmp_path, **sections))
    with pytest.raises(InputError, match=rf"{section}.max_completion_length: got 500"):
        check(made.config, (*RUN, "train"), load_prompts(made), run=made)


def test_run_refuses_a_method_whose_signal_is_not_there(tmp_path: Path) -> None:
    made = RunDir.create(tmp_path / "run", _config(tmp_path, select={"method": "ifd"}))
    with pytest.raises(InputError, match=r"select.method: ifd reads the signal ifd.*`learnalign signal .*run ifd`"):
        check(made.config, RUN, load_prompts(made), run=made)
    made.signal_file("ifd").parent.mkdir()
    made.signal_file("ifd").touch()
    check(made.config, RUN, load_prompts(made), run=made)


def test_golds_that_are_solutions_are_told_with_the_other_faults_until_there_are_rollouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = RunDir.create(tmp_path / "run", _config(tmp_path, select={"size": 13}))
    solutions = [replace(prompt, answer="It is so.\n#### 1") for prompt in load_prompts(made)]

    def told(**options: Any) -> bool:
        with pytest.raises(InputError, match="size 13 is more") as error:
            check(made.config, RUN, solutions, **options)
        return "12 of 12 golds" in str(error.value)

    assert told(anyway=False)
    assert told(anyway=False, run=made)
    assert not told(anyway=True)
    monkeypatch.setattr(RunDir, "is_finished", lambda self, stage: stage == "rollout")
    assert not told(anyway=False, run=made)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (["warmup"], "warmup.trainer.optimm"),
        (["warmup", "--overwrite"], "warmup.trainer.optimm"),
        (["rollout"], "train.trainer.optimm"),
        (["run", "--stages", "0.5,0.5"], "train.trainer.optimm"),
    ],
)
def test_a_field_that_trl_lacks_is_refused_before_anything_is_stored(
    tmp_path: Path, command: list[str], key: str
) -> None:
    name, *options = command
    settings = ["--config", _file(tmp_path), "--set", f"{key}=sgd"]
    result = _learnalign(name, tmp_path / "new", *settings, *options)
    assert result.exit_code == 2
    assert f"{key}: TRL's GRPOConfig has no such field; did you mean optim?" in result.output
    assert not (tmp_path / "new").exists()


def test_a_field_that_trl_lacks_does_not_get_into_a_directory_that_is_there(tmp_path: Path) -> None:
    made = RunDir.create(tmp_path / "run", _config(tmp_path, warmup={**WARMUP, "size": 0}))
    before = made.config_file.read_bytes()
    for options in ([], ["--overwrite"]):
        result = _learnalign("rollout", made.path, "--set", "train.trainer.optimm=sgd", *options)
        assert result.exit_code == 2
        assert "did you mean optim?" in result.output
        assert made.config_file.read_bytes() == before


def test_a_field_that_the_algorithm_lacks_is_refused_before_a_training_is_stored(tmp_path: Path) -> None:
    """`delta` is a field of GRPO's settings, which the training inherits from the warmup."""
    config = _config(tmp_path, warmup={**WARMUP, "trainer": {"delta": 2.0}})
    made = RunDir.create(tmp_path / "run", config)
    with pytest.raises(InputError, match=r"train\.trainer\.delta: TRL's RLOOConfig has no such field"):
        train(made, config.data.path, overrides=["train.algorithm=rloo"])
    assert not list((made.path / "train").rglob("*"))


@pytest.mark.parametrize(
    ("stages", "override", "words"),
    [
        ("0.5,0.6", "seed=0", "add up to 1 at most"),
        ("0.5,0.01", "seed=0", "a stage of 0.01 of 12 prompts is empty"),
        ("0.5,0.5", "train.batch_size=9", "train.batch_size: got 9"),
        ("0.5,0.5", "train.max_completion_length=500", "train.max_completion_length: got 500"),
    ],
)
def test_rounds_are_checked_before_their_settings_are_stored(
    tmp_path: Path, stages: str, override: str, words: str
) -> None:
    run = ["run", tmp_path / "new", "--config", _file(tmp_path), "--stages"]
    for overwrite in ([], ["--overwrite"]):
        result = _learnalign(*run, stages, "--set", override, *overwrite)
        assert result.exit_code == 2
        assert words in result.output
        assert not (tmp_path / "new").exists()


def test_rounds_that_are_refused_leave_the_stored_settings_as_they_are(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", _config(tmp_path, warmup={**WARMUP, "size": 0}))

    def perform(command: str, run: RunDir, **options: Any) -> None:
        if command == "grad":
            raise KeyboardInterrupt
        in_process(command, run, **options)

    with pytest.raises(KeyboardInterrupt):
        train_in_rounds(run, [0.5, 0.5], perform)
    before = run.config_file.read_bytes()
    for override in ("train.batch_size=9", "train.trainer.optimm=sgd", "rollout.temperature=0.5"):
        assert _learnalign("run", run.path, "--stages", "0.5,0.5", "--set", override).exit_code == 2
        assert run.config_file.read_bytes() == before


def _file(folder: Path) -> Path:
    file = folder / "config.yaml"
    file.write_text(dump_config(_config(folder)), encoding="utf-8")
    return file


def _learnalign(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    config = _config(tmp_path, select={"size": 13}, grad={"modules": "foo"}, warmup={**WARMUP, "batch_size": 9})
    with pytest.raises(InputError) as error:
        plan(config, RUN[:3], RUN)
    assert re.search("warmup.batch_size: .*; grad.modules: .*; size 13 is more than", str(error.value))


def test_without_a_fault_nothing_is_told_or_written(tmp_path: Path) -> None:
    config = _config(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    plan(config, RUN[:3], RUN)
    plan(config, ["train"])
    plan_rounds(config, [0.5, 0.5])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_stage_on_its_own_is_not_told_of_later_ones(tmp_path: Path) -> None:
    """`rollout --dry-run` of a pool smaller than the default select.size."""
    plan(_config(tmp_path, select={"size": 1000}), RUN[:3])


def test_rounds_are_checked_before_the_first_command(tmp_path: Path) -> None:
    config = _config(tmp_path, train={"batch_size": 9})
    with pytest.raises(InputError, match="train.batch_size: got 9"):
        plan_rounds(config, [0.5, 0.5])
    performed: list[str] = []
    with pytest.raises(InputError, match="train.batch_size: got 9"):
        train_in_rounds(
            RunDir.create(tmp_path / "run", config),
            [0.5, 0.5],
            lambda command, run, **options: performed.append(command),
        )
    assert not performed


def test_grad_refuses_its_modules_before_it_draws_rollouts(tmp_path: Path) -> None:
    made = make_run(tmp_path, grad={"modules": "foo"})
    with pytest.raises(InputError, match="'foo' matches no linear layer"):
        grad(made)
    assert not (made.path / "rollouts").exists()


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        (run, {}, "size 13 is more than the 12 prompts"),
        (run, {"dry_run": True}, "size 13 is more than the 12 prompts"),
        (select, {"dry_run": True, "size": 14}, "size 14 is more than the 12 prompts"),
        (select, {"dry_run": True, "method": "foo"}, "select.method: got 'foo'"),
        (select, {"dry_run": True, "diversity": "foo"}, "diversity foo: expected kmeans:K"),
    ],
)
def test_commands_refuse_before_any_work(
    tmp_path: Path, command: Callable[..., None], options: dict[str, Any], words: str
) -> None:
    config, directory = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(dump_config(_config(tmp_path, select={"size": 13})))
    with pytest.raises(InputError, match=words):
        command(directory, config=str(config), **options)
    assert not (directory / "warmup").exists()
    assert directory.exists() == (not options)
