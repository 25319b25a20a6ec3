"""`report_to`: metrics reach the reporter that is asked for, no other, and a missing package is told before any work."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from learnalign.checks import check
from learnalign.config import build_config
from learnalign.errors import InputError
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import read_jsonl
from learnalign.rundir.stages import settings_of
from learnalign.training import reporting, warmup
from learnalign.training.settings import trainer_arguments
from tests.tiny import make_config

WARMUP = {"size": 2, "batch_size": 4, "num_generations": 2, "max_completion_length": 4, "num_train_epochs": 1}


class StandIn(TrainerCallback):
    """In place of trackio's callback."""

    logged: list[dict[str, Any]] = []  # noqa: RUF012

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        self.logged.append({"project": args.project, **(logs or {})})


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_the_metrics_of_warmup_reach_the_reporter_and_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "trackio", StandIn)
    monkeypatch.setattr(reporting, "is_installed", lambda package: True)
    run = RunDir.create(tmp_path / "run", make_config(tmp_path, warmup={**WARMUP, "report_to": ["trackio"]}))
    warmup(run)
    rewards = [entry for entry in StandIn.logged if "reward" in entry]
    assert len(rewards) == 1
    assert {"kl", "loss", "learning_rate"} <= rewards[0].keys()
    assert rewards[0]["project"] == "learnalign"


def test_trackio_keeps_them_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = RunDir.create(tmp_path / "run", make_config(tmp_path, warmup={**WARMUP, "report_to": "trackio"}))
    warmup(run)
    assert any((tmp_path / "trackio").rglob("*.db"))


def test_tensorboard_has_the_rewards_of_each_run_in_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.delenv(reporting.PLACE, raising=False)
    for name in ("one", "two"):
        run = RunDir.create(tmp_path / name, make_config(tmp_path, warmup={**WARMUP, "report_to": "tensorboard"}))
        warmup(run)
        (events,) = (run.path / "logs" / "warmup").iterdir()
        shown = EventAccumulator(str(events)).Reload()
        own = [row["reward"] for row in read_jsonl(run.warmup_dir / "metrics.jsonl") if "reward" in row]
        assert [each.value for each in shown.Scalars("train/reward")] == pytest.approx(own)
        assert find_problems(run.path) == []


def test_wandb_offline_keeps_them_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = RunDir.create(tmp_path / "run", make_config(tmp_path, warmup={**WARMUP, "report_to": "wandb"}))
    warmup(run)
    assert wandb.run.summary.get("train/reward") is not None
    wandb.finish()
    assert list(tmp_path.rglob("*.wandb"))


def test_a_place_that_the_environment_names_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reporting.PLACE, "elsewhere")
    with reporting.logs_in(tmp_path, "warmup"):
        assert os.environ[reporting.PLACE] == "elsewhere"
    monkeypatch.delenv(reporting.PLACE)
    with reporting.logs_in(tmp_path, "warmup"):
        assert os.environ[reporting.PLACE] == str(tmp_path / "logs" / "warmup")
    assert reporting.PLACE not in os.environ


def test_by_default_there_is_none_and_train_takes_the_warmup_s(tmp_path: Path) -> None:
    config = make_config(tmp_path, warmup=WARMUP)
    assert trainer_arguments(config, config.warmup, "warmup", tmp_path, 8, 2).report_to == []
    wandb = make_config(tmp_path, warmup={**WARMUP, "report_to": "wandb"})
    assert wandb.train.over(wandb.warmup).report_to == "wandb"
    own = wandb.train.model_copy(update={"report_to": "none"})
    assert own.over(wandb.warmup).report_to == "none"


@pytest.mark.parametrize("names", ["wandb", ["tensorboard", "wandb"]])
def test_a_missing_package_is_told_before_any_work(names: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir.create(tmp_path / "run", make_config(tmp_path, warmup={**WARMUP, "report_to": names}))
    prompts = load_prompts(run)
    monkeypatch.setattr(reporting, "is_installed", lambda package: False)
    with pytest.raises(InputError, match=r"warmup.report_to: .*wandb not installed: pip install .*wandb"):
        check(run.config, ["warmup"], prompts)


def test_it_decides_no_result_and_has_one_key(tmp_path: Path) -> None:
    plain, told = (make_config(tmp_path, warmup={**WARMUP, "report_to": to}) for to in ("none", ["wandb"]))
    assert settings_of(plain, "warmup") == settings_of(told, "warmup")
    assert not [key for key in settings_of(told, "train") if "report" in key]
    with pytest.raises(InputError, match="warmup.report_to"):
        make_config(tmp_path, warmup={**WARMUP, "trainer": {"report_to": "wandb"}})
    with pytest.raises(InputError, match="report_to: got 'wandv', but .*did you mean wandb"):
        build_config({"model": {"name": "m"}, "data": {"path": "d"}, "warmup": {"report_to": "wandv"}})
