"""The headline by columns of the test set."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from learnalign.config import DataConfig
from learnalign.evaluation import evaluate
from learnalign.evaluation.columns import Part, by_columns
from learnalign.evaluation.metrics import wilson
from learnalign.pool_table import Prompt
from learnalign.prompts import stored_prompts
from learnalign.rollouts import load_rollouts
from learnalign.rundir import RunDir
from tests.tiny import make_run, save_pool
from tests.training.coin_verifier import worth


def test_the_headline_is_given_by_value_of_each_column_with_few(tmp_path: Path) -> None:
    """avg@2 of the coin verifier from the stored texts; questions and answers are no such columns."""
    run = make_run(tmp_path, 12, verifier="tests.training.coin_verifier:coin")
    sampled = ["eval.num_generations=2", "eval.metric=avg@2"]
    result = evaluate(run, str(save_pool(tmp_path / "test.jsonl", 30)), policy="base", overrides=sampled)
    sub, groups = RunDir.open(result.directory), {}
    for shard in sub.shards():
        for one in load_rollouts(sub, shard):
            groups.setdefault(one.id, []).append(worth(one.text))
    whole = {id: statistics.mean(group) for id, group in groups.items() if None not in group}
    kinds = {prompt.id: str(json.loads(prompt.source)["kind"]) for prompt in stored_prompts(sub)}
    assert 0 < len(whole) < 30
    assert list(result.columns) == ["kind"]
    for kind in "012":
        values = [value for id, value in whole.items() if kinds[id] == kind]
        part = result.columns["kind"][kind]
        assert (part.value, part.questions) == (pytest.approx(statistics.mean(values)), len(values))
        assert part.low <= part.value <= part.high  # type: ignore[operator]
    assert sum(part.questions for part in result.columns["kind"].values()) == result.metrics["avg@2"].questions
    stored = json.loads(result.file.read_text())["columns"]["kind"]["1"]
    assert stored == vars(result.columns["kind"]["1"])


def test_a_value_of_which_nothing_was_scored_is_there_without_a_number() -> None:
    rows = [{"question": f"{i}?", "level": "hard" if i < 4 else "easy"} for i in range(10)]
    prompts = [
        Prompt(id=str(i), row=i, messages=[], answer="", solution=None, source=json.dumps(row))
        for i, row in enumerate(rows)
    ]
    parts = by_columns(DataConfig(path="x"), prompts, {str(i): float(i < 6) for i in range(4, 10)})["level"]
    assert list(parts) == ["easy", "hard"]
    assert parts["hard"] == Part(value=None, low=None, high=None, questions=0)
    assert (parts["easy"].value, parts["easy"].questions) == (pytest.approx(1 / 3), 6)
    assert (parts["easy"].low, parts["easy"].high) == pytest.approx(wilson(1 / 3, 6))
