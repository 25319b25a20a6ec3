"""Seeds and settings of one training: several seeds of a subset stand side by side, the run's settings stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from learnalign.config import build_config
from learnalign.curriculum.gain import Gain
from learnalign.errors import InputError
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet, write_parquet
from learnalign.rundir.stages import settings_of
from learnalign.training import sub_config, train
from learnalign.training.train_stage import _curriculum
from learnalign_cli.app import app
from tests.tiny import make_run

SETTINGS: dict[str, Any] = {
    "size": 0,
    "num_train_epochs": 1,
    "batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 6,
    "learning_rate": 1e-3,
}


def run_of(folder: Path, **sections: Any) -> RunDir:
    return make_run(folder, 6, verifier="tests.training.coin_verifier:coin", **{"warmup": SETTINGS, **sections})


def learnalign(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def visits(result: Any) -> list[dict[str, Any]]:
    return read_parquet(result.rewards).to_pylist()


@pytest.mark.slow
def test_seeds_of_a_subset_stand_side_by_side_and_train_as_runs_of_that_seed(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    results = {seed: train(run, run.config.data.path, seed=seed) for seed in (None, 3)}
    assert [result.name for result in results.values()] == ["pool", "pool-seed3"]
    assert visits(results[None]) != visits(results[3])
    other = RunDir.create(tmp_path / "other", build_config(run.config.model_dump() | {"seed": 3}))
    expected = train(other, run.config.data.path)
    assert expected.name == "pool"
    assert visits(results[3]) == visits(expected)
    weights = [(each.policy / "model.safetensors").read_bytes() for each in (results[3], expected)]
    assert weights[0] == weights[1]


def test_a_seed_is_one_however_it_is_given(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    file = run.config.data.path
    settings = build_config({**run.config.model_dump(), "train": {"seed": 3}})
    configs = [sub_config(run.config, file, seed=3), sub_config(settings, file)]
    configs += [sub_config(run.config, file, overrides=[each]) for each in ("train.seed=3", "seed=3")]
    assert [each.seed for each in configs] == [3] * 4
    assert all(each == configs[0] for each in configs)
    assert sub_config(settings, file, seed=0).seed == 0
    assert "train.seed" not in settings_of(configs[0], "train")  # trainings of earlier versions stay valid


def test_overrides_are_the_training_s_alone(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    load_prompts(run)
    before = run.config_file.read_bytes(), RunDir.open(run.path).config
    file = run.config.data.path
    options = ["--set", "train.steps=1", "--set", "data.limit=4", "--seed", 2]
    result = learnalign("train", run.path, "--subset", file, *options)
    assert result.exit_code == 0, result.output
    assert (run.config_file.read_bytes(), RunDir.open(run.path).config) == before
    sub = RunDir.open(run.path / "train" / "pool-seed2")
    assert (sub.config.train.steps, sub.count_prompts(), sub.config.seed) == (1, 4, 2)
    made = sub.read_record()["made_by"]
    assert (made["seed"], made["set"]) == (2, ["train.steps=1", "data.limit=4"])


def test_a_new_directory_keeps_the_file_s_settings(tmp_path: Path) -> None:
    settings, directory = run_of(tmp_path).config_file, tmp_path / "new"
    options = ["--config", settings, "--set", "train.steps=1", "--name", "short"]
    result = learnalign("train", directory, "--subset", tmp_path / "pool.jsonl", *options)
    assert result.exit_code == 0, result.output
    assert RunDir.open(directory).config.train.steps is None
    assert RunDir.open(directory / "train" / "short").config.train.steps == 1


@pytest.mark.slow
def test_a_training_with_settings_of_its_own_is_repaired(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    result = train(run, run.config.data.path, seed=2, overrides=["train.steps=1"])
    before = result.rewards.read_bytes()
    result.rewards.unlink()
    repaired = learnalign("status", run.path, "--repair")
    assert repaired.exit_code == 0, repaired.output
    assert result.rewards.read_bytes() == before


def test_the_dry_run_shows_the_settings_of_the_training(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    options = ["--seed", 5, "--set", "train.steps=3", "--dry-run", "--json"]
    result = learnalign("train", run.path, "--subset", run.config.data.path, *options)
    assert result.exit_code == 0, result.output
    assert '"seed": 5' in result.stdout
    assert '"steps": 3' in result.stdout
    assert not (run.path / "train").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.name=demo", "--set model.name: a training starts from the model of its run directory"),
        ("data.path=x", "--set data.path: a training takes the prompts of --subset"),
        ("grad.dim=4", "--set grad.dim: it changes no training"),
        ("warmup.size=4", "--set warmup.size: it changes no training"),
        ("train.stepz=4", "--set train.stepz=4: unknown key train.stepz"),
        ("train.trainer.seed=1", "--set train.trainer.seed=1: .*set train.seed instead"),
    ],
)
def test_an_override_that_a_training_does_not_follow_is_refused(tmp_path: Path, override: str, words: str) -> None:
    run = run_of(tmp_path)
    with pytest.raises(InputError, match=words):
        train(run, run.config.data.path, overrides=[override])
    assert not (run.path / "train").exists()


def test_the_weight_of_angles_may_be_the_training_s(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    prompts = load_prompts(run)
    parts = {"c_intra": [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], "c_inter": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}
    write_parquet(run.signal_file("angle"), pa.table({"id": [prompt.id for prompt in prompts], **parts}), "f")
    configs = [sub_config(run.config, "x.jsonl", "gain", overrides=[f"signal.angle_weight={c}"]) for c in (0, 4)]
    curricula = [_curriculum(run, config, prompts) for config in configs]
    orders = [each.order for each in curricula if isinstance(each, Gain)]
    assert orders == [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]]
