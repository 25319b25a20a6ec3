"""Curricula in trainings: what is drawn when, by which model it is measured, and trainings of the embedded model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from learnalign.config import dump_config, load_config
from learnalign.curriculum.angles import Angles
from learnalign.curriculum.gain import Gain
from learnalign.policy import load_tokenizer, model_path, prompt_ids
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_jsonl, read_parquet, write_lines
from learnalign.signals import signal
from learnalign.signals.concentration import concentrations
from learnalign.training import train
from learnalign.training.trainer import Bookkeeping, Trainer
from learnalign_cli.app import app
from tests.tiny import make_config, make_run

SETTINGS: dict[str, Any] = {
    "size": 0,
    "num_train_epochs": 2,
    "batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
}


def concentration(model: Any, ids: list[int]) -> float:
    """C_intra of one prompt without a first segment: the mean of the whole matrix of cosines, float64."""
    kept: list[torch.Tensor] = []
    hook = model.model.layers[-1].register_forward_hook(lambda _m, _i, output: kept.append(output))
    with torch.no_grad():
        model(torch.tensor([ids]))
    hook.remove()
    unit = torch.nn.functional.normalize(kept[0][0].double(), dim=-1)
    return float((unit @ unit.T).mean())


@pytest.mark.slow
def test_each_batch_is_measured_by_the_model_that_sampled_it_before_its_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Algorithm 1, lines 9 to 16, with two updates a batch: M_t is the model after all updates of the batches before."""
    events: list[tuple[str, Any, Any]] = []
    measure, draw, update = Angles.__call__, Gain.draw, Gain.update
    generate, end = Trainer._generate, Bookkeeping.on_step_end

    def weights(model: Any) -> dict[str, torch.Tensor]:
        return copy.deepcopy(model.state_dict())

    def recording(name: str, function: Any, model_of: Any) -> Any:
        def call(self: Any, *arguments: Any, **more: Any) -> Any:
            result = function(self, *arguments, **more)
            model = model_of(self, arguments)
            events.append((name, (arguments, result), weights(model) if model is not None else None))
            return result

        return call

    monkeypatch.setattr(Angles, "__call__", recording("measure", measure, lambda _self, arguments: arguments[1]))
    monkeypatch.setattr(Gain, "draw", recording("draw", draw, lambda *_: None))
    monkeypatch.setattr(Gain, "update", recording("update", update, lambda *_: None))
    monkeypatch.setattr(Trainer, "_generate", recording("sample", generate, lambda self, _: self.model))
    monkeypatch.setattr(Bookkeeping, "on_step_end", recording("step", end, lambda self, _: self.trainer.model))
    run = make_run(
        tmp_path,
        6,
        verifier="tests.training.coin_verifier:coin",
        warmup=SETTINGS,
        train={"curriculum": "gain", "trainer": {"num_iterations": 2}},
    )
    signal(run, ["angle"])
    stored = concentrations(run)
    result = train(run, run.config.data.path)
    names = [name for name, _, _ in events]
    assert names == ["draw", "sample", "measure", "update", "step", "step"] * result.steps
    assert result.steps == 6
    prompts, tokenizer = load_prompts(run), load_tokenizer(run.config)
    model = AutoModelForCausalLM.from_pretrained(model_path(run.config), dtype=torch.float32)
    before = model.state_dict()
    mu, moved = 0.0, 0.0
    for i in range(0, len(events), 6):
        drawn, sampled, measured, updated, _, last = events[i : i + 6]
        for event in (sampled, measured):
            assert all(torch.equal(event[2][name], before[name]) for name in before)
        model.load_state_dict(before)
        rows, angles = measured[1][0][0], measured[1][1]
        assert rows == drawn[1][1]
        expected = [concentration(model, prompt_ids(tokenizer, prompts[row].messages)) for row in rows]
        assert angles == pytest.approx(expected, abs=1e-5)
        moved = max(moved, *(abs(angle - stored[prompts[row].id]) for row, angle in zip(rows, angles, strict=True)))
        rates = [rate for rate in updated[1][0][1] if rate is not None]
        terms = [2 * (sum(rates) / len(rates) - 0.5)] if rates else []
        mu += sum(float(torch.tanh(torch.tensor(x, dtype=torch.float64))) for x in [*terms, 0.5 * sum(expected) / 2])
        before = last[2]
    assert result.curriculum["mu"] == pytest.approx(mu, abs=1e-4)
    assert moved > 1e-3  # not the stored angles


def demo(folder: Path, curriculum: str) -> tuple[RunDir, Path]:
    """Settings of a training of the embedded model, 8 steps of 4 prompts, and 16 prompts of its pool for it."""
    settings = [f"train.curriculum={curriculum}", "data.limit=16", "warmup.size=0", "train.batch_size=16"]
    settings += ["train.num_generations=4", "train.num_train_epochs=2", "train.learning_rate=1e-4"]
    run = RunDir.create(folder / "run", load_config("demo", settings))
    write_lines(folder / "subset.jsonl", [prompt.source for prompt in load_prompts(run)])
    return run, folder / "subset.jsonl"


def groups(rewards: Path) -> list[tuple[str, int, int]]:
    table = read_parquet(rewards).to_pydict()
    return list(zip(table["id"], table["correct"], table["scored"], strict=True))


@pytest.mark.slow
def test_accuracy_draws_no_prompt_again_after_it_was_fully_correct(tmp_path: Path) -> None:
    result = train(*demo(tmp_path, "accuracy"))
    solved: set[str] = set()
    visits = groups(result.rewards)
    lines = read_jsonl(result.metrics)
    assert len(visits) == 4 * len(lines) == 32
    for step, line in enumerate(lines):
        part = visits[4 * step : 4 * step + 4]
        assert not solved & {id for id, _, _ in part}
        solved |= {id for id, correct, scored in part if correct == scored}
        assert line["curriculum/solved"] == len(solved)
    assert 0 < len(solved) < 16
    assert result.curriculum == {"solved": len(solved)}


@pytest.mark.slow
def test_dynamic_fills_every_step_with_groups_with_spread(tmp_path: Path) -> None:
    result = train(*demo(tmp_path, "dynamic"))
    spread = [0 < correct < scored for _, correct, scored in groups(result.rewards)]
    assert sum(spread) == 4 * result.steps == 32
    assert len(spread) - sum(spread) == result.curriculum["dropped_in_all"] > 0
    assert result.curriculum["without_spread_in_all"] == 0
    assert all(line["frac_reward_zero_std"] == 0 for line in read_jsonl(result.metrics))


def test_gain_rl_from_the_base_model_is_two_commands(tmp_path: Path) -> None:
    """The paper's setting: angles of the model that is trained, no warmup before; also where warmup has a size."""
    config, folder = tmp_path / "config.yaml", tmp_path / "run"
    settings = make_config(tmp_path, 8, verifier="tests.training.coin_verifier:coin", warmup={**SETTINGS, "size": 4})
    config.write_text(dump_config(settings), encoding="utf-8")
    app(["signal", str(folder), "angle", "--policy", "base", "--config", str(config)], standalone_mode=False)
    app(["train", str(folder), "--subset", settings.data.path, "--curriculum", "gain"], standalone_mode=False)
    run = RunDir.open(folder)
    assert not run.warmup_dir.exists()
    start = run.path / "train" / "pool-gain"
    assert RunDir.open(start).read_record()["stages"]["train"]["start"] == model_path(run.config)
    lines = read_jsonl(start / "policy" / "metrics.jsonl")
    assert len(lines) == 8
    assert all("curriculum/mu" in line for line in lines)
