"""Staged training: every prompt once, in the order of what each policy would learn most from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.errors import InputError
from learnalign.policy import adapter_base, model_path
from learnalign.prompts import load_prompts
from learnalign.rounds import in_process, stage_sizes, staged
from learnalign.rundir import RunDir
from tests.tiny import make_run

GRPO: dict[str, Any] = {"size": 4, "num_train_epochs": 1, "batch_size": 8, "num_generations": 4}
GRPO |= {"max_completion_length": 6, "learning_rate": 1e-3}


def _run(folder: Path, **warm: Any) -> RunDir:
    warmup = {**GRPO, **warm}
    return make_run(
        folder, 10, verifier="tests.training.coin_verifier:coin", warmup=warmup, train={"num_train_epochs": 1}
    )


def _questions(path: Path) -> list[str]:
    return [json.loads(line)["question"] for line in path.read_text().splitlines()]


def test_each_stage_takes_its_fraction_of_the_original_pool_from_what_is_left(tmp_path: Path) -> None:
    run = _run(tmp_path)
    outcomes = staged(run, [0.5, 0.3, 0.2])
    assert [(outcome.prompts, outcome.chosen) for outcome in outcomes] == [(10, 5), (5, 3), (2, 2)]
    chosen = [_questions(outcome.directory / "chosen.jsonl") for outcome in outcomes]
    everything = _questions(Path(run.config.data.path))
    assert sorted(question for questions in chosen for question in questions) == sorted(everything)
    told = json.loads((run.path / "staged.json").read_text())
    assert told["fractions"] == [0.5, 0.3, 0.2]
    assert [stage["chosen"] for stage in told["stages"]] == [5, 3, 2]
    assert told["stages"][-1]["policy"] == str(outcomes[-1].policy)


def test_each_stage_chooses_with_the_policy_that_the_one_before_trained(tmp_path: Path) -> None:
    run = _run(tmp_path)
    outcomes = staged(run, [0.5, 0.3])
    first, second = (RunDir.open(outcome.directory) for outcome in outcomes)
    assert first.is_finished("warmup")
    assert second.config.model.name == str(outcomes[0].policy.resolve())
    assert second.config.warmup.size == 0
    for stage in (first, second):
        assert stage.is_finished("rollout")
        assert stage.is_finished("grad")
        training = RunDir.open(stage.path / "train" / "chosen")
        assert training.read_record()["stages"]["train"]["start"].startswith(
            str(first.warmup_dir if stage is first else outcomes[0].policy.resolve())
        )
    assert {prompt.id for prompt in load_prompts(second)} < {prompt.id for prompt in load_prompts(first)}


def test_adapters_are_trained_one_on_the_other(tmp_path: Path) -> None:
    run = _run(tmp_path, lora={"r": 2})
    outcomes = staged(run, [0.4, 0.3, 0.3])
    models = [RunDir.open(outcome.directory).config.model for outcome in outcomes]
    assert models[0].name == model_path(run.config)
    for before, model in zip(outcomes, models[1:], strict=False):
        assert model.adapter == str(before.policy.resolve())
        assert model.name == adapter_base(before.policy)
        assert Path(model.name).name == "start"


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    run, whole = _run(tmp_path / "broken"), _run(tmp_path / "whole")
    done: list[tuple[str, str]] = []

    def breaks(command: str, run: RunDir, **options: Any) -> None:
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append((run.path.name, command))
        in_process(command, run, **options)

    with pytest.raises(KeyboardInterrupt):
        staged(run, [0.5, 0.3, 0.2], breaks)
    assert done[-1] == ("stage-2", "rollout")
    before = (run.path / "stage-1" / "train" / "chosen" / "policy" / "model.safetensors").stat().st_mtime_ns
    outcomes = staged(run, [0.5, 0.3, 0.2])
    assert (outcomes[0].policy / "model.safetensors").stat().st_mtime_ns == before
    expected = staged(whole, [0.5, 0.3, 0.2])
    for one, other in zip(outcomes, expected, strict=True):
        assert _questions(one.directory / "chosen.jsonl") == _questions(other.directory / "chosen.jsonl")


def test_stage_sizes_add_up(tmp_path: Path) -> None:
    assert stage_sizes(7473, [0.5, 0.3, 0.2]) == [3736, 2242, 1495]
    assert sum(stage_sizes(101, [1 / 3, 1 / 3, 1 / 3])) == 101
    with pytest.raises(InputError, match=r"0\.01 of 10 prompts is none"):
        stage_sizes(10, [0.5, 0.01])


@pytest.mark.parametrize("fractions", [[], [0.0, 0.5], [0.7, 0.4], [-0.1], [1.5]])
def test_fractions_that_are_none_of_one_pool_are_refused(tmp_path: Path, fractions: list[float]) -> None:
    run = _run(tmp_path)
    with pytest.raises(InputError, match=r"--stages.*such as 0\.5,0\.3,0\.2"):
        staged(run, fractions)
    assert not (run.path / "stage-1").exists()
