"""Mean and standard deviation over rounds, and the number of questions that a test set must have."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from learnalign.errors import InputError
from learnalign.evaluation import evaluate
from learnalign.evaluation.metrics import metric, metric_over_rounds
from learnalign.evaluation.testset import evaluation_config, test_sets
from learnalign.rollouts import load_rollouts
from learnalign.rundir import RunDir
from learnalign_cli.app import app
from tests.tiny import make_run, save_pool
from tests.training.coin_verifier import worth

SAMPLED = ["eval.num_generations=2", "eval.temperature=1.0"]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return make_run(tmp_path, 12, verifier="tests.training.coin_verifier:coin", executor={"shard_size": 20})


@pytest.fixture
def questions(tmp_path: Path) -> str:
    return str(save_pool(tmp_path / "test.jsonl", 7))


def texts(sub: RunDir) -> list[str]:
    return [one.text for shard in sub.shards() for one in load_rollouts(sub, shard)]


def share_of_coin(directory: Path) -> float:
    """pass@1 from the stored texts: the mean over questions of their shares of correct completions."""
    sub, groups = RunDir.open(directory), {}
    for shard in sub.shards():
        for one in load_rollouts(sub, shard):
            if (reward := worth(one.text)) is not None:
                groups.setdefault(one.id, []).append(reward)
    return statistics.mean(statistics.mean(group) for group in groups.values())


def test_three_rounds_have_the_mean_and_std_of_three_evaluations(run: RunDir, questions: str) -> None:
    first = evaluate(run, questions, policy="base", overrides=SAMPLED)
    part = first.directory / "rollouts" / "part-00000.parquet"
    before = part.stat().st_mtime_ns
    result = evaluate(run, questions, policy="base", overrides=[*SAMPLED, "eval.rounds=3"])
    assert part.stat().st_mtime_ns == before  # round 1 is the evaluation that was there
    folders = [first.directory, *(first.directory / "rounds" / number for number in "23")]
    values = [share_of_coin(folder) for folder in folders]
    assert result.metrics["pass@1"].rounds == pytest.approx(values)
    assert result.value == pytest.approx(np.mean(values))
    assert result.std == pytest.approx(np.std(values, ddof=1))
    assert result.metrics["pass@1"].population_std == pytest.approx(np.std(values))
    assert (result.seeds, result.questions, result.samples) == ([0, 1, 2], 7, 42)
    stored = json.loads(result.file.read_text())
    assert (stored["std"], stored["metrics"]["pass@1"]["rounds"]) == (result.std, pytest.approx(values))
    by_hand = evaluate(run, questions, policy="base", name="hand", overrides=[*SAMPLED, "seed=1"])
    assert texts(RunDir.open(by_hand.directory)) == texts(RunDir.open(folders[1])) != texts(RunDir.open(folders[0]))


@pytest.mark.slow
def test_seeds_of_an_evaluation_stand_side_by_side(run: RunDir, questions: str) -> None:
    results = [evaluate(run, questions, policy="base", overrides=[*SAMPLED, *more]) for more in ([], ["eval.seed=4"])]
    assert [result.name for result in results] == ["test-base", "test-base-seed4"]
    assert texts(RunDir.open(results[0].directory)) != texts(RunDir.open(results[1].directory))
    rounds = evaluate(run, questions, policy="base", overrides=[*SAMPLED, "eval.seed=4", "eval.rounds=2"])
    assert (rounds.name, rounds.seeds) == ("test-base-seed4", [4, 5])
    hand = evaluate(run, questions, policy="base", name="hand", overrides=[*SAMPLED, "seed=4"])
    assert texts(RunDir.open(hand.directory)) == texts(RunDir.open(results[1].directory))
    with pytest.raises(InputError, match="rollout: seed: stored 4, requested 5"):
        evaluate(run, questions, policy="base", name="hand", overrides=[*SAMPLED, "eval.seed=5"])


def test_one_round_has_no_standard_deviation(run: RunDir, questions: str) -> None:
    result = evaluate(run, questions, policy="base", overrides=SAMPLED)
    assert (result.std, result.seeds) == (None, [0])
    assert all(each.std is each.population_std is None for each in result.metrics.values())


@pytest.mark.slow
def test_the_command_prints_mean_and_rounds(run: RunDir, questions: str) -> None:
    options = ["--data", questions, "--policy", "base", "--k", "2", "--rounds", "2"]
    text = CliRunner().invoke(app, ["eval", str(run.path), *options]).stdout
    stored = json.loads((run.path / "eval" / "test-base.json").read_text())
    assert f"{stored['value']:.4g}" in text
    assert f"{stored['std']:.4g}" in text
    assert all(f"{value:.4g}" in text for value in stored["metrics"]["pass@1"]["rounds"])


def test_rounds_of_greedy_decoding_are_refused(run: RunDir, questions: str) -> None:
    with pytest.raises(InputError, match=r"eval\.rounds: 3 rounds of greedy decoding are all the same"):
        evaluate(run, questions, policy="base", overrides=["eval.rounds=3"])
    assert not (run.path / "eval").exists()


def test_statistics_over_rounds_are_numpy_s() -> None:
    """Questions that lack scored completions in a round are out of that round's value, as in `metric`."""
    rng = np.random.default_rng(0)
    for name, k in (("pass@1", 1), ("avg@2", 2), ("pass@3", 3)):
        scored = rng.integers(2, 5, (4, 30))
        correct = rng.binomial(scored, 0.4)
        rounds = [
            {str(i): (int(s), int(c)) for i, (s, c) in enumerate(zip(*each, strict=True))}
            for each in zip(scored, correct, strict=True)
        ]
        values = []
        for s, c in zip(scored, correct, strict=True):
            s, c = s[s >= k], c[s >= k]
            wrong = np.prod([(s - c - i).clip(0) / (s - i) for i in range(k)], axis=0)
            values.append(float(np.mean(c / s if name.startswith("avg") else 1 - wrong)))
        result = metric_over_rounds(name, rounds)
        assert result.rounds == pytest.approx(values)
        assert result.value == pytest.approx(np.mean(values))
        assert result.std == pytest.approx(np.std(values, ddof=1))
        assert result.population_std == pytest.approx(np.std(values, ddof=0))
        one = metric(name, list(rounds[0].values()))
        assert result.high - result.low < one.high - one.low  # more completions a question say more


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["eval.questions=83"], r"test\.jsonl has 7 rows, but this test set has eval\.questions = 83"),
        (["eval.questions=6"], r"has 7 rows, but this test set has eval\.questions = 6"),
        (["eval.questions=83", "data.limit=40"], r"has 7 rows \(data\.limit is 40\), but"),
    ],
)
def test_a_test_set_of_another_size_is_refused_before_anything_is_written(
    run: RunDir, questions: str, settings: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(run, questions, policy="base", overrides=settings)
    assert not (run.path / "eval").exists()
    result = CliRunner().invoke(
        app,
        [
            "eval",
            str(run.path),
            "--data",
            questions,
            "--policy",
            "base",
            "--dry-run",
            *[f"--set={s}" for s in settings],
        ],
    )
    assert result.exit_code == 2
    assert "eval.questions" in result.stderr


def test_rows_count_whether_usable_or_not(run: RunDir, questions: str) -> None:
    """A duplicate and a row without answer are left out, but the source is the right one."""
    with Path(questions).open("a") as file:
        file.write('{"question": "What is 0 + 0?", "answer": "0"}\n{"question": "What?", "answer": ""}\n')
    result = evaluate(run, questions, policy="base", overrides=["eval.questions=9"])
    assert (result.questions, result.left_out) == (7, 2)
    with pytest.raises(InputError, match="has 9 rows, but"):  # of a finished evaluation too
        evaluate(run, questions, policy="base", overrides=["eval.questions=8"])


def test_a_limit_below_the_number_of_questions_is_allowed(run: RunDir, questions: str) -> None:
    assert evaluate(run, questions, policy="base", overrides=["eval.questions=7", "data.limit=3"]).questions == 3


def test_the_number_belongs_to_its_test_set(tmp_path: Path, questions: str) -> None:
    """A run's `eval.questions` is for its own data; a ready test set has its own number or none."""
    run: Any = make_run(tmp_path, 12, eval={"questions": 83})
    file = tmp_path / "set.yaml"
    file.write_text(f"data: {{path: {questions}, prompt: question}}\n")
    assert evaluation_config(run, str(file), "base", []).eval.questions is None
    file.write_text(f"data: {{path: {questions}, prompt: question}}\neval: {{questions: 7}}\n")
    assert evaluation_config(run, str(file), "base", []).eval.questions == 7
    assert evaluation_config(run, questions, "base", []).eval.questions == 83
    assert [name for name in test_sets() if evaluation_config(run, name, "base", []).eval.questions == 83] == ["amc"]
