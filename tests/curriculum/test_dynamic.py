"""Dynamic sampling's counts, and a training in which every batch is full of groups with spread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learnalign.curriculum.dynamic import Dynamic
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_jsonl, read_parquet
from learnalign.training import train
from learnalign.training.rewards import Rewards
from learnalign.training.trainer import Trainer
from tests.tiny import make_run

SETTINGS: dict[str, Any] = {
    "size": 0,
    "num_train_epochs": 1,
    "batch_size": 12,
    "num_generations": 3,
    "max_completion_length": 8,
    "learning_rate": 1e-3,
}


def run_of(folder: Path, redraws: int | None = None, verifier: str = "coin", **train_settings: Any) -> RunDir:
    section = {"curriculum": "dynamic", "dynamic": {"redraws": redraws}, **train_settings}
    return make_run(folder, 24, verifier=f"tests.training.coin_verifier:{verifier}", warmup=SETTINGS, train=section)


class Recorded:
    """Every group that was sampled (row, completions, rewards), and the batch that TRL then trained on, by step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sampled: list[tuple[int, list[list[int]], list[float | None]]] = []
        self.steps: list[dict[str, Any]] = []
        score, generate = Rewards.__call__, Trainer._generate_and_score_completions

        def scored(rewards: Rewards, completion_ids: Any, index: Any, **more: Any) -> Any:
            values = score(rewards, completion_ids, index, **more)
            for start in range(0, len(values), 3):
                self.sampled.append(
                    (index[start], [list(completion_ids[start + i]) for i in range(3)], values[start : start + 3])
                )
            return values

        def generated(trainer: Trainer, inputs: Any) -> Any:
            batch = generate(trainer, inputs)
            self.steps.append(batch)
            return batch

        monkeypatch.setattr(Rewards, "__call__", scored)
        monkeypatch.setattr(Trainer, "_generate_and_score_completions", generated)


def advantages(rewards: list[float | None]) -> list[float]:
    """(r − mean)/(std + 1e-4) with the sample std of the scored rewards; 0 for a reward that is not scored."""
    scored = np.array([reward for reward in rewards if reward is not None], dtype=np.float64)
    spread = scored.std(ddof=1) + 1e-4 if len(scored) > 1 else 1.0
    return [0.0 if r is None or len(scored) < 2 else float((r - scored.mean()) / spread) for r in rewards]


def has_spread(rewards: list[float | None]) -> bool:
    return 0.0 in rewards and 1.0 in rewards


def completions(batch: dict[str, Any]) -> list[list[int]]:
    return [
        ids[mask.bool()].tolist() for ids, mask in zip(batch["completion_ids"], batch["completion_mask"], strict=True)
    ]


@pytest.mark.parametrize("redraws", [1, *(pytest.param(redraws, marks=pytest.mark.slow) for redraws in (5, None))])
def test_a_batch_is_that_of_a_simulation_over_the_sampled_groups(
    tmp_path: Path, redraws: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Independent simulation: from the record of all sampled groups, what each step keeps, drops and fills up with."""
    run = run_of(tmp_path, redraws)
    recorded = Recorded(monkeypatch)
    result = train(run, run.config.data.path)
    lines = read_jsonl(result.metrics)
    assert len(lines) == len(recorded.steps) == result.steps == 6
    position, dropped_in_all, left_in_all = 0, 0, 0
    for line, batch in zip(lines, recorded.steps, strict=True):
        batch_groups: list[Any] = []
        dropped, needed = 0, 4
        for attempt in range(1 + (redraws or 9)):
            draw = recorded.sampled[position : position + needed]
            position += needed
            batch_groups += [group for group in draw if has_spread(group[2])]
            failed = [group for group in draw if not has_spread(group[2])]
            needed = len(failed)
            if not needed:
                break
            dropped += needed * (attempt < (redraws or 9))
        batch_groups += failed if needed else []
        assert len(batch_groups) == 4
        assert completions(batch) == [ids for group in batch_groups for ids in group[1]]
        expected = [value for group in batch_groups for value in advantages(group[2])]
        torch.testing.assert_close(batch["advantages"].double(), torch.tensor(expected).double(), atol=1e-4, rtol=1e-4)
        left = sum(not has_spread(group[2]) for group in batch_groups)
        assert (line["curriculum/dropped"], line["curriculum/without_spread"]) == (dropped, left)
        dropped_in_all, left_in_all = dropped_in_all + dropped, left_in_all + left
    assert position == len(recorded.sampled)
    assert dropped_in_all > 0
    assert (left_in_all > 0) == (redraws == 1)
    totals = {"dropped_in_all": dropped_in_all, "without_spread_in_all": left_in_all}
    assert totals.items() <= result.curriculum.items()
    assert train(run, run.config.data.path).curriculum == result.curriculum
    rewards = read_parquet(result.rewards).to_pydict()  # every sampled group is a visit, dropped ones too
    assert rewards["correct"] == [sum(r for r in group[2] if r) for group in recorded.sampled]


@pytest.mark.slow
def test_prompts_without_any_spread_end_the_redraws_and_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, 2, verifier="never")
    result = train(run, run.config.data.path)
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("curriculum dynamic")]
    assert "after 3 draws, 4 of 4 groups of a step have no spread" in warning
    assert "train.dynamic.redraws" in warning
    assert result.curriculum["dropped_in_all"] == 6 * 4 * 2
    assert result.curriculum["without_spread_in_all"] == 6 * 4


def test_draws_before_an_update_belong_to_one_step() -> None:
    curriculum = Dynamic(10, seed=0, redraws=3)
    rows = [*curriculum.draw(4), *curriculum.draw(3), *curriculum.draw(1)]
    assert len(set(rows)) == 8  # none twice within an epoch
    curriculum.update([0, 1, 2, 3], [0.5, 0.25, 0.75, None], None)
    assert curriculum.metrics() == {
        "dropped": 4,
        "without_spread": 1,
        "dropped_in_all": 4,
        "without_spread_in_all": 1,
    }
    curriculum.draw(4)
    curriculum.update([0, 1, 2, 3], [0.5, 0.25, 0.75, 0.5], None)
    assert curriculum.metrics()["dropped"] == 0
    assert curriculum.metrics()["dropped_in_all"] == 4


def test_a_restored_curriculum_continues_identically() -> None:
    one, other = (Dynamic(9, seed=2, redraws=3) for _ in range(2))
    one.draw(4), one.draw(2)
    one.update([0] * 4, [0.0] * 4, None)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.metrics() == one.metrics()
    assert [other.draw(4) for _ in range(4)] == [one.draw(4) for _ in range(4)]
