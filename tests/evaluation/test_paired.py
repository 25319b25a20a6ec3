"""Two policies on the same questions: the difference, its interval against independent ones, and refusals."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from learnalign.errors import InputError
from learnalign.evaluation import EvalResult, evaluate
from learnalign.evaluation.paired import paired_interval
from learnalign.rollouts import load_rollouts
from learnalign.rundir import RunDir
from learnalign_cli.app import app
from tests.tiny import make_run, save_pool
from tests.training.coin_verifier import worth

SAMPLED = ["eval.num_generations=2", "eval.metric=avg@2", "eval.temperature=1.0"]


@pytest.mark.parametrize(
    ("only_a", "only_b", "both", "n"), [(7, 2, 20, 50), (0, 0, 5, 30), (3, 0, 0, 3), (0, 40, 1, 100)]
)
def test_of_answers_of_0_and_1_it_is_agresti_and_min_s(only_a: int, only_b: int, both: int, n: int) -> None:
    """Half a question more in each cell of the table of two policies, then Wald's interval."""
    cells = np.array([[both, only_a], [only_b, n - both - only_a - only_b]]) + 0.5
    total, difference = cells.sum(), cells[0, 1] - cells[1, 0]
    error = math.sqrt(cells[0, 1] + cells[1, 0] - difference**2 / total) / total
    expected = (difference / total - 1.959964 * error, difference / total + 1.959964 * error)
    differences = [1.0] * only_a + [-1.0] * only_b + [0.0] * (n - only_a - only_b)
    assert paired_interval(differences) == pytest.approx(np.clip(expected, -1, 1), abs=1e-6)


def test_of_many_questions_it_is_the_bootstrap_s_and_student_s() -> None:
    rng = np.random.default_rng(0)
    rates = rng.beta(1, 1, 600)
    here = rng.binomial(8, rates) / 8
    there = rng.binomial(8, np.clip(rates - 0.1, 0, 1)) / 8
    interval = paired_interval((here - there).tolist())
    resampled = [(here - there)[rng.integers(0, 600, 600)].mean() for _ in range(4000)]
    assert interval == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.002)
    assert interval == pytest.approx(stats.ttest_rel(here, there).confidence_interval(0.95), abs=0.002)


@pytest.mark.parametrize(("questions", "gain", "differing"), [(60, 0.1, None), (40, 0.02, 0.06), (300, 0.0, 0.02)])
def test_it_covers_the_truth(questions: int, gain: float, differing: float | None) -> None:
    """Of 4 completions of questions of all difficulties; and of greedy answers of which few differ."""
    rng = np.random.default_rng(1)
    hits, trials = 0, 1500
    for _ in range(trials):
        if differing is None:
            rates = rng.uniform(0, 1 - gain, questions)
            differences = (rng.binomial(4, rates + gain) - rng.binomial(4, rates)) / 4
        else:
            better, worse = (differing + gain) / 2, (differing - gain) / 2
            differences = rng.choice([1.0, -1.0, 0.0], questions, p=[better, worse, 1 - differing])
        low, high = paired_interval(differences.tolist())
        hits += low <= gain <= high
    assert 0.94 <= hits / trials <= (0.97 if differing is None else 1)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return make_run(tmp_path, 12, verifier="tests.training.coin_verifier:coin")


@pytest.fixture
def questions(tmp_path: Path) -> str:
    return str(save_pool(tmp_path / "test.jsonl", 30))


def values_of(result: EvalResult) -> dict[str, float]:
    """avg@2 by question from the stored texts, the mean over rounds; of questions with two scored completions in a round."""
    values: dict[str, list[float]] = {}
    for number in range(1, len(result.seeds) + 1):
        folder = result.directory if number == 1 else result.directory / "rounds" / str(number)
        sub, groups = RunDir.peek(folder), {}
        for shard in sub.shards():
            for one in load_rollouts(sub, shard):
                groups.setdefault(one.id, []).append(worth(one.text))
        for id, group in groups.items():
            if None not in group:
                values.setdefault(id, []).append(statistics.mean(group))
    return {id: statistics.mean(each) for id, each in values.items()}


def test_questions_are_matched_by_id_and_every_one_is_counted(run: RunDir, questions: str) -> None:
    other = evaluate(run, questions, policy="base", name="other", overrides=[*SAMPLED, "eval.rounds=2"])
    result = evaluate(run, questions, policy="base", name="own", overrides=[*SAMPLED, "seed=5"], against="other")
    here, there = values_of(result), values_of(other)
    both = here.keys() & there.keys()
    found = result.against
    differences = [here[id] - there[id] for id in both]
    assert found.value == pytest.approx(statistics.mean(differences))
    assert found.value == pytest.approx(found.here - found.there)
    assert found.here == pytest.approx(statistics.mean(here[id] for id in both))
    assert (found.low, found.high) == pytest.approx(paired_interval(differences))
    assert (found.better, found.worse) == (sum(d > 1e-9 for d in differences), sum(d < -1e-9 for d in differences))
    assert found.better + found.worse + found.equal == found.questions == len(both)
    assert (found.only_here, found.only_there) == (len(here.keys() - there), len(there.keys() - here))
    assert found.only_here + found.only_there > 0
    assert found.questions + found.only_here + found.only_there + found.neither == 30
    stored = json.loads(result.file.read_text())
    assert stored["against"] == vars(found)
    assert json.loads(other.file.read_text())["against"] is None


@pytest.mark.slow
def test_the_same_completions_differ_nowhere_and_the_command_says_so(run: RunDir, questions: str) -> None:
    options = ["--data", questions, "--policy", "base"]
    for more in (["--name", "a"], ["--name", "b", "--against", "a"]):
        text = CliRunner().invoke(app, ["eval", str(run.path), *options, *more]).stdout
    stored = json.loads((run.path / "eval" / "b.json").read_text())["against"]
    assert (stored["value"], stored["better"], stored["worse"]) == (0, 0, 0)
    assert stored["low"] == -stored["high"] < 0
    assert "greedy against a (base), on the same questions" in text
    assert f"{stored['high']:.4g}" in text


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"against": "oter"}, "has no finished evaluation of that name; it has other"),
    ({"name": "other"}, "this evaluation has that name itself; give another --name"),
    ({"overrides": ["data.limit=3"]}, r"data\.limit: None in other, 3 here"),
    ({"overrides": ["data.system_prompt=Think."]}, r"data\.system_prompt: None in other, 'Think\.' here"),
    (
        {"overrides": ["eval.metric=pass@1"]},
        r"rollout\.temperature: 0\.0 in other, 1\.0 here; eval\.metric: 'greedy'",
    ),
    ({"overrides": ["eval.num_generations=2"]}, r"rollout\.num_generations: 1 in other, 2 here"),
    ({"overrides": ["verifier=math"]}, r"verifier: '.*coin' in other, 'math' here"),
]


def test_another_evaluation_is_refused_before_anything_is_sampled(run: RunDir, questions: str) -> None:
    evaluate(run, questions, policy="base", name="other")
    before = sorted((run.path / "eval").rglob("*"))
    for changes, words in REFUSED:
        with pytest.raises(InputError, match=words):
            evaluate(run, questions, policy="base", **({"name": "own", "against": "other"} | changes))
        assert sorted((run.path / "eval").rglob("*")) == before


def test_a_test_set_that_has_changed_is_refused(run: RunDir, questions: str) -> None:
    evaluate(run, questions, policy="base", name="other")
    save_pool(Path(questions), 29)
    with pytest.raises(InputError, match="test.jsonl has changed since other was made"):
        evaluate(run, questions, policy="base", name="own", against="other")


@pytest.mark.slow
def test_a_result_of_a_former_version_is_compared_by_what_its_metric_means(run: RunDir, questions: str) -> None:
    """It called the greedy share of correct answers pass@1, and had no columns."""
    other = evaluate(run, questions, policy="base", name="other")
    stored = json.loads(other.file.read_text())
    del stored["columns"], stored["against"]
    stored["metric"], stored["metrics"] = "pass@1", {"pass@1": stored["metrics"]["greedy"]}
    from learnalign.rundir.files import write_json

    write_json(other.file, stored)
    assert evaluate(run, questions, policy="base", name="own", against="other").against.equal > 0


@pytest.mark.slow
def test_a_dry_run_says_so_too(run: RunDir, questions: str) -> None:
    evaluate(run, questions, policy="base", name="other")
    options = ["--data", questions, "--policy", "base", "--against", "other", "--dry-run"]
    result = CliRunner().invoke(app, ["eval", str(run.path), *options, "--k", "2"])
    assert (result.exit_code, "eval.metric" in result.stderr) == (2, True)
    assert CliRunner().invoke(app, ["eval", str(run.path), *options]).exit_code == 0


def test_curves_are_not_compared_with_one_evaluation(run: RunDir) -> None:
    options = ["--data", "demo", "--policy", "train/x@all", "--against", "other"]
    result = CliRunner().invoke(app, ["eval", str(run.path), *options])
    assert result.exit_code == 2
    assert "--policy train/x" in result.stderr


def test_the_evaluation_it_was_compared_with_is_part_of_the_command_that_repair_performs(
    run: RunDir, questions: str
) -> None:
    evaluate(run, questions, policy="base", name="other")
    own = evaluate(run, questions, policy="base", name="own", against="other")
    assert RunDir.peek(own.directory).read_record()["made_by"]["against"] == "other"
    evaluate(run, questions, policy="base", name="own")
    assert "against" not in RunDir.peek(own.directory).read_record()["made_by"]
