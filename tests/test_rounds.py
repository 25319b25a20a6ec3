"""Training in rounds: every prompt once, each round the prompts that its policy would learn most from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.errors import InputError
from learnalign.gradients.inputs import make_engine
from learnalign.handoff.about import is_described
from learnalign.policy import adapter_base, model_path, policy_path
from learnalign.prompts import load_prompts
from learnalign.rounds import in_process, plan_rounds, round_sizes, train_in_rounds
from learnalign.rundir import RunDir
from tests.policy.test_template import set_date
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


@pytest.mark.slow
def test_each_round_takes_its_fraction_of_the_original_pool_from_what_is_left(tmp_path: Path) -> None:
    run = _run(tmp_path)
    pool, planned = plan_rounds(run.config, [0.5, 0.3, 0.2])
    results = train_in_rounds(run, [0.5, 0.3, 0.2])
    assert [(result.prompts, result.chosen) for result in results] == [(10, 5), (5, 3), (2, 2)]
    assert [(each.prompts, each.chosen) for each in planned] == [(10, 5), (5, 3), (2, 2)]
    assert [each.stages[-1].steps for each in planned] == [result.steps for result in results] == [3, 2, 1]
    assert [[work.stage for work in each.stages] for each in planned] == [
        ["warmup", "rollout", "grad", "train"],
        ["rollout", "grad", "train"],
        ["train"],
    ]
    assert pool.prompts == 10
    chosen = [_questions(result.directory / "chosen.jsonl") for result in results]
    assert all(is_described(result.directory / "chosen.jsonl") for result in results)
    everything = _questions(Path(run.config.data.path))
    assert sorted(question for questions in chosen for question in questions) == sorted(everything)
    stored = json.loads((run.path / "staged.json").read_text())
    assert stored["fractions"] == [0.5, 0.3, 0.2]
    assert [stage["chosen"] for stage in stored["stages"]] == [5, 3, 2]
    assert stored["stages"][-1]["policy"] == str(results[-1].policy)
    assert stored["stages"][-1]["ended"] == "epochs"


@pytest.mark.slow
def test_each_round_chooses_with_the_policy_that_the_one_before_trained(tmp_path: Path) -> None:
    run = _run(tmp_path)
    results = train_in_rounds(run, [0.5, 0.3])
    first, second = (RunDir.open(result.directory) for result in results)
    assert first.is_finished("warmup")
    assert second.config.model.name == str(results[0].policy.resolve())
    assert second.config.warmup.size == 0
    for one in (first, second):
        assert one.is_finished("rollout")
        assert one.is_finished("grad")
        training = RunDir.open(one.path / "train" / "chosen")
        assert training.read_record()["stages"]["train"]["start"].startswith(
            str(first.warmup_dir if one is first else results[0].policy.resolve())
        )
    assert {prompt.id for prompt in load_prompts(second)} < {prompt.id for prompt in load_prompts(first)}


@pytest.mark.slow
def test_templates_of_all_rounds_have_the_date_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def perform(command: str, run: RunDir, **options: Any) -> None:
        in_process(command, run, **options)
        set_date(monkeypatch, day=2)

    set_date(monkeypatch, day=1)
    results = train_in_rounds(_run(tmp_path), [0.5, 0.5], perform)
    assert {RunDir.peek(result.directory).template_time.day for result in results} == {1}


@pytest.mark.slow
def test_each_adapter_is_trained_on_the_one_before(tmp_path: Path) -> None:
    run = _run(tmp_path, lora={"r": 2})
    results = train_in_rounds(run, [0.4, 0.3, 0.3])
    models = [RunDir.open(result.directory).config.model for result in results]
    assert models[0].name == model_path(run.config)
    for before, model in zip(results, models[1:], strict=False):
        assert model.adapter == str(before.policy.resolve())
        assert model.name == adapter_base(before.policy)
        assert Path(model.name).name == "start"


@pytest.mark.parametrize("warm", [{}, pytest.param({"size": 0, "lora": {"r": 2}}, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_the_reference_of_every_round_is_the_model_of_the_first(tmp_path: Path, warm: dict[str, Any]) -> None:
    run = _run(tmp_path, **warm)
    rounds = [RunDir.open(result.directory) for result in train_in_rounds(run, [0.5, 0.5])]
    base = model_path(run.config)
    assert [each.config.model.reference for each in rounds] == [None if warm else base, base]
    for each in rounds:
        training = RunDir.open(each.path / "train" / "chosen").read_record()["stages"]["train"]
        assert training["reference"] == base
    assert (make_engine(rounds[0]).settings.beta == 0) == bool(warm)  # without warmup, the policy is the reference
    assert make_engine(rounds[1]).settings.beta == run.config.grad.beta > 0
    assert rounds[0].is_finished("grad")
    assert policy_path(rounds[0]) == (base if warm else str(rounds[0].warmup_dir))


@pytest.mark.parametrize(
    ("section", "key", "value"), [("grad", "modules", "heads"), ("model", "reference", "/no/such/model")]
)
def test_what_cannot_be_shows_before_the_first_round_begins(tmp_path: Path, section: str, key: str, value: str) -> None:
    run = _run(tmp_path)
    config = run.config.model_copy(update={section: getattr(run.config, section).model_copy(update={key: value})})
    begun: list[str] = []
    with pytest.raises(InputError, match=rf"{section}\.{key}.*{value}"):
        train_in_rounds(
            RunDir.create(tmp_path / "other", config), [0.5, 0.5], lambda command, *_, **__: begun.append(command)
        )
    assert not begun


@pytest.mark.slow
def test_other_settings_are_refused_and_overwrite_begins_again(tmp_path: Path) -> None:
    run = _run(tmp_path, size=0)
    assert [result.steps for result in train_in_rounds(run, [0.5, 0.5])] == [3, 3]
    train = run.config.train.model_copy(update={"steps": 1})
    other = RunDir.create(run.path, run.config.model_copy(update={"train": train}))
    with pytest.raises(InputError, match=r"(?s)train\.steps.*--overwrite"):
        train_in_rounds(other, [0.5, 0.5])
    assert [result.steps for result in train_in_rounds(other, [0.5, 0.5], overwrite=True)] == [1, 1]


@pytest.mark.slow
def test_an_interrupted_call_resumes(tmp_path: Path) -> None:
    run, whole = _run(tmp_path / "broken"), _run(tmp_path / "whole")
    done: list[tuple[str, str]] = []

    def interrupted(command: str, run: RunDir, **options: Any) -> None:
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append((run.path.name, command))
        in_process(command, run, **options)

    with pytest.raises(KeyboardInterrupt):
        train_in_rounds(run, [0.5, 0.3, 0.2], interrupted)
    assert done[-1] == ("stage-2", "rollout")
    before = (run.path / "stage-1" / "train" / "chosen" / "policy" / "model.safetensors").stat().st_mtime_ns
    results = train_in_rounds(run, [0.5, 0.3, 0.2])
    assert (results[0].policy / "model.safetensors").stat().st_mtime_ns == before
    expected = train_in_rounds(whole, [0.5, 0.3, 0.2])
    for one, other in zip(results, expected, strict=True):
        assert _questions(one.directory / "chosen.jsonl") == _questions(other.directory / "chosen.jsonl")


def test_round_sizes_add_up() -> None:
    assert round_sizes(7473, [0.5, 0.3, 0.2]) == [3736, 2242, 1495]
    assert sum(round_sizes(101, [1 / 3, 1 / 3, 1 / 3])) == 101
    with pytest.raises(InputError, match=r"0\.01 of 10 prompts is empty"):
        round_sizes(10, [0.5, 0.01])


@pytest.mark.parametrize("fractions", [[], [0.0, 0.5], [0.7, 0.4], [-0.1], [1.5]])
def test_fractions_that_do_not_fit_one_pool_are_refused(tmp_path: Path, fractions: list[float]) -> None:
    run = _run(tmp_path)
    with pytest.raises(InputError, match=r"--stages.*such as 0\.5,0\.3,0\.2"):
        train_in_rounds(run, fractions)
    assert not (run.path / "stage-1").exists()
