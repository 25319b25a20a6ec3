"""Curves over the policies of trainings, and the steps to the same accuracy."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from learnalign.config import load_config
from learnalign.demo import MODEL, TEST
from learnalign.errors import InputError, RunError
from learnalign.evaluation import evaluate, evaluate_curves
from learnalign.evaluation.curves import same_accuracy
from learnalign.evaluation.testset import default_name, evaluation_config
from learnalign.policy import policies_by_step
from learnalign.report import plot_curves
from learnalign.rollouts import load_rollouts
from learnalign.rundir import RunDir
from learnalign_cli.app import app
from tests.evaluation.trainings import write_training
from tests.tiny import make_run, save_model, save_pool
from tests.training.coin_verifier import worth

SAMPLED = ["eval.num_generations=2", "eval.metric=avg@2", "eval.temperature=1.0"]
OPTIONS = [part for setting in SAMPLED for part in ("--set", setting)]


def share_correct(directory: Path) -> float:
    """Correct completions of all that an evaluation stored."""
    sub = RunDir.open(directory)
    rewards = [one.reward for shard in sub.shards() for one in load_rollouts(sub, shard)]
    return float(np.mean(rewards))


def weakened(folder: Path, noise: float) -> Path:
    """The demo model with noise on its weights."""
    shutil.copytree(MODEL, folder)
    torch.manual_seed(0)
    weights = {
        name: value + noise * torch.randn_like(value) for name, value in load_file(MODEL / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make(folder: Path) -> RunDir:
    """A run with trainings `x` (steps 50, 100, 150) and `y` (100) of tiny models."""
    run = make_run(folder, 12, verifier="tests.training.coin_verifier:coin", executor={"shard_size": 20})
    models = [save_model(folder / f"model-{seed}", seed=seed) for seed in (1, 2, 3)]
    write_training(run, "x", dict(zip((50, 100, 150), models, strict=True)))
    write_training(run, "y", {100: models[0]})
    save_pool(folder / "test.jsonl", 7)
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Nothing is evaluated yet."""
    return make(tmp_path)


@pytest.fixture
def questions(run: RunDir) -> str:
    return questions_of(run)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """All points are evaluated: the base model by `evaluate` before the curves, the others by the curves."""
    run = make(tmp_path_factory.mktemp("evaluated"))
    evaluate(run, questions_of(run), policy="base", overrides=SAMPLED)
    before = times(run)
    evaluate_curves(run, [questions_of(run)], ["x", "y"], overrides=SAMPLED)
    assert before.items() <= times(run).items()
    return run


def questions_of(run: RunDir) -> str:
    return str(run.path.parent / "test.jsonl")


def times(run: RunDir) -> dict[Path, int]:
    """When each of the evaluations' completions were written."""
    return {path: path.stat().st_mtime_ns for path in (run.path / "eval").glob("*/rollouts/*.parquet")}


@pytest.mark.slow
def test_a_curve_of_the_demo_model_has_every_kept_policy_and_what_it_started_from(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", load_config("demo", ["rollout.engine=transformers", "warmup.size=0"]))
    write_training(run, "a", {10: weakened(tmp_path / "one", 0.03), 20: weakened(tmp_path / "two", 0.01), 30: MODEL})
    curves = evaluate_curves(run, [str(TEST)], ["a"], overrides=["data.limit=40"])
    assert [(point.step, point.policy) for point in curves.points] == [
        (0, "base"),
        (10, "train/a@10"),
        (20, "train/a@20"),
        (30, "train/a"),
    ]
    for point in curves.points:
        assert point.value == pytest.approx(share_correct(point.results["test"].directory))
    values = [point.value for point in curves.points]
    assert values[0] == values[3] > values[2] > values[1]  # the last is the base model again; noise harms
    models = [Path(RunDir.open(point.results["test"].directory).config.model.name) for point in curves.points[1:]]
    assert models == [
        (run.path / "train" / "a" / path).resolve()
        for path in ("policies/step-000010", "policies/step-000020", "policy")
    ]


def test_the_table_holds_the_points(evaluated: RunDir) -> None:
    run = evaluated
    curves = evaluate_curves(run, [questions_of(run)], ["x", "y"], overrides=SAMPLED)
    assert curves.table == run.path / "eval" / "test-curve-x-y.csv"
    with curves.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["training"], int(row["step"])) for row in rows] == [
        *(("x", step) for step in (0, 50, 100, 150)),
        *(("y", step) for step in (0, 100)),
    ]
    for row in rows:
        stored = json.loads((run.path / "eval" / f"{row['evaluation']}.json").read_text())
        assert (float(row["value"]), row["metric"], row["policy"]) == (stored["value"], "avg@2", stored["policy"])
        assert float(row["low"]) == stored["metrics"]["avg@2"]["low"]
        assert float(row["high"]) == stored["metrics"]["avg@2"]["high"]


@pytest.mark.slow
def test_the_accuracy_on_several_test_sets_is_their_mean(run: RunDir, questions: str, tmp_path: Path) -> None:
    other = str(save_pool(tmp_path / "other.jsonl", 4))
    curves = evaluate_curves(run, [questions, other], ["y"], overrides=SAMPLED)
    for point in curves.points:
        assert point.value == pytest.approx(np.mean([share_of_coin(r.directory) for r in point.results.values()]))
    with curves.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["test_set"] for row in rows] == ["test", "other", "average"] * 2
    assert [float(row["value"]) for row in rows[2::3]] == [point.value for point in curves.points]
    plots = [[value for *_, value in dots] for dots in drawn(plot_curves(curves))]  # the mean, then each test set
    expected = [[point.value for point in curves.points]]
    expected += [[point.results[name].value for point in curves.points] for name in ("test", "other")]
    assert np.array(plots) == pytest.approx(np.array(expected), abs=0.0006)


def share_of_coin(directory: Path) -> float:
    """avg@2 of the coin verifier, worked out from the stored texts: questions with two scored completions."""
    sub = RunDir.open(directory)
    groups: dict[str, list[float | None]] = {}
    for shard in sub.shards():
        for one in load_rollouts(sub, shard):
            groups.setdefault(one.id, []).append(worth(one.text))
    return float(np.mean([np.mean(group) for group in groups.values() if None not in group]))


def test_existing_evaluations_are_points_and_are_not_repeated(evaluated: RunDir) -> None:
    before = times(evaluated)
    assert len(before) == 5  # base, three of x, one of y
    evaluate_curves(evaluated, [questions_of(evaluated)], ["x"], overrides=SAMPLED)
    assert times(evaluated) == before


@pytest.mark.slow
def test_an_interrupted_curve_resumes(run: RunDir, questions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from learnalign.rollouts.stage import RolloutWorker

    work, calls = RolloutWorker._work, []

    def once(self: RolloutWorker, shard: Any, advance: Any) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(shard)
        work(self, shard, advance)

    with monkeypatch.context() as patch:
        patch.setattr(RolloutWorker, "_work", once)
        with pytest.raises(KeyboardInterrupt):
            evaluate_curves(run, [questions], ["y"], overrides=SAMPLED)
    before = times(run)
    assert len(before) == 1
    assert not list((run.path / "eval").glob("*.csv"))
    assert len(evaluate_curves(run, [questions], ["y"], overrides=SAMPLED).points) == 2
    assert before.items() <= times(run).items()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("train/x@7", r"train/x@7: no such step; train/x has 0, 50, 100, 150"),
        ("train/x@seven", r"train/x@seven: no such step; train/x has 0, 50, 100, 150"),
        ("train/x@", r"no such step; train/x has 0, 50"),
        ("train/z@50", r"train/z: no such training; this run has train/x, train/y"),
        ("train/x@all", r"names several policies; give one here, such as train/x"),
    ],
)
def test_a_policy_that_was_not_kept_is_refused_with_those_that_were(
    run: RunDir, questions: str, policy: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(run, questions, policy=policy)
    assert not (run.path / "eval").exists()


@pytest.mark.parametrize(
    ("policy", "plain", "name"),
    [
        ("train/x@150", "train/x", "test-train-x"),
        ("train/x@0", "base", "test-base"),
        ("train/x@50", "train/x@50", "test-train-x-step-000050"),
        ("train/x@0100", "train/x@100", "test-train-x-step-000100"),
    ],
)
def test_a_step_has_one_name(run: RunDir, questions: str, policy: str, plain: str, name: str) -> None:
    config = evaluation_config(run, questions, policy, [])
    assert config.eval.policy == plain
    assert default_name(questions, config.eval.policy) == name


@pytest.mark.slow
def test_an_unfinished_training_has_the_policies_kept_so_far(run: RunDir, questions: str, tmp_path: Path) -> None:
    write_training(run, "z", {50: save_model(tmp_path / "z", seed=4)}, done=False)
    assert policies_by_step(run, "z") == {0: "base", 50: "train/z@50"}
    curves = evaluate_curves(run, [questions], ["z"], overrides=SAMPLED)
    assert any("train/z is not finished: its curve ends at step 50" in note for note in curves.notes)
    with pytest.raises(RunError, match="train/z: its training is not finished"):
        evaluate(run, questions, policy="train/z")


def test_a_training_without_a_policy_has_no_curve(run: RunDir, questions: str) -> None:
    write_training(run, "z", {}, done=False)
    with pytest.raises(RunError, match="train/z@all: no policy is stored yet"):
        evaluate_curves(run, [questions], ["x", "z"], overrides=SAMPLED)
    assert not (run.path / "eval").exists()


def test_a_training_that_began_from_another_model_has_no_curve(run: RunDir, questions: str, tmp_path: Path) -> None:
    sub = RunDir.open(run.path / "train" / "x")
    with sub.stage("train") as record:
        record.counts |= {"steps": 150}
        record.notes |= {"start_digest": "another"}
    with pytest.raises(InputError, match="trained from another base than the current one.*--policy train/x@STEP"):
        evaluate_curves(run, [questions], ["x"])
    assert evaluation_config(run, questions, "train/x@50", []).eval.policy == "train/x@50"


def test_the_same_accuracy_is_reached_at_the_first_step_that_has_it() -> None:
    """Against the definition, over random curves on a coarse grid of accuracies, so that ties are frequent."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        curves = {}
        for name in "abc":
            steps = np.sort(rng.choice(20, int(rng.integers(1, 8)), replace=False))
            curves[name] = [(int(step), int(rng.integers(0, 5)) / 4) for step in steps]
        steps, values = (np.array(column) for column in zip(*curves["a"], strict=True))
        targets = {"last": (steps[-1], values[-1]), "best": (steps[values.argmax()], values.max())}
        for row in same_accuracy(curves):
            own_steps, own_values = (np.array(column) for column in zip(*curves[row.training], strict=True))
            for kind, (step, accuracy) in targets.items():
                reached = own_steps[own_values >= accuracy]
                expected = int(reached[0]) if len(reached) else None
                if row.training == "a" and kind == "last":
                    expected = int(steps[-1])
                assert getattr(row, f"step_to_{kind}") == expected
                assert getattr(row, f"speed_up_to_{kind}") == (step / expected if expected else None)


def test_the_papers_speed_ups_come_out() -> None:
    """GAIN-RL, Table 1 (Qwen 2.5 Math 1.5B): 80 epochs for 200, 2.5×. LearnAlign, §5.3: step 440 for FULL's best at 640."""
    grpo = [(0, 20.0), (80, 38.0), (150, 39.5), (200, 39.95)]
    gain = [(0, 20.0), (70, 39.9), (80, 39.95), (200, 42.63)]
    row = same_accuracy({"grpo": grpo, "gain": gain})[1]
    assert (row.step_to_last, row.speed_up_to_last) == (80, 2.5)
    full = [(0, 40.0), (440, 61.0), (640, 63.12), (1040, 62.5)]
    learnalign = [(0, 40.0), (400, 63.0), (440, 63.12), (1040, 64.22)]
    row = same_accuracy({"full": full, "learnalign": learnalign})[1]
    assert row.step_to_best == 440
    assert row.speed_up_to_best is not None
    assert round(100 * (1 - 1 / row.speed_up_to_best)) == 31


def cli(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def drawn(page: Path) -> list[list[tuple[str, int, float]]]:
    """Colour, step and accuracy (to 0.1 %) of the dots of every plot of a page."""
    dot = re.compile(r'<circle class="(s\d) picked"[^>]*><title>step (\d+): ([\d.]+) %</title>')
    plots = re.findall(r"<svg role.*?</svg>", page.read_text(encoding="utf-8"))
    return [[(kind, int(step), float(value) / 100) for kind, step, value in dot.findall(plot)] for plot in plots]


def test_the_command_prints_and_draws_the_table(evaluated: RunDir) -> None:
    chosen = [evaluated.path, "--data", questions_of(evaluated), "--policy", "train/x@all", "--policy", "train/y@all"]
    chosen += OPTIONS
    result = cli(*chosen, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    values = [[p["value"] for p in told["points"] if p["training"] == name] for name in ("x", "y")]
    (dots,) = drawn(Path(told["plot"]))
    assert [(kind, step) for kind, step, _ in dots] == [
        *(("s0", step) for step in (0, 50, 100, 150)),
        ("s1", 0),
        ("s1", 100),
    ]
    assert [value for *_, value in dots] == pytest.approx([*values[0], *values[1]], abs=0.0006)
    page = Path(told["plot"]).read_text(encoding="utf-8")
    assert re.findall(r"<bdi>([xy])</bdi>", page) == ["x", "y"]
    assert not re.search(r"<(script|link)[^>]*(src|href)=", page)
    text = cli(*chosen).stdout
    assert "steps to the last and the best accuracy of x" in text
    assert all(f"{value:.4g}" in text for value in values[0])


def test_a_curve_may_be_the_setting_of_a_run(evaluated: RunDir) -> None:
    settings = evaluated.config.model_dump(mode="json") | {"eval": {"policy": "train/y@all"}}
    config = evaluated.path.parent / "curve.yaml"
    config.write_text(yaml.safe_dump(settings))
    options = [*OPTIONS, "--config", config, "--json"]
    told = json.loads(cli(evaluated.path, "--data", questions_of(evaluated), *options).stdout)
    assert [point["step"] for point in told["points"]] == [0, 100]


def test_a_dry_run_counts_the_evaluations(run: RunDir, questions: str) -> None:
    options = ["--data", questions, "--policy", "train/x@all", "--policy", "train/y@all", "--rounds", 2]
    result = cli(run.path, *options, "--set", "eval.temperature=1", "--dry-run", "--json")
    told = json.loads(result.stdout)
    assert told["policies"] == ["base", "train/x@50", "train/x@100", "train/x", "train/y"]
    assert (told["work"][0]["prompts"], told["work"][0]["evaluations"]) == (7, 10)
    assert not (run.path / "eval").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--policy", "train/x@all", "--policy", "base"], "several policies must all be curves"),
        (["--policy", "train/x", "--policy", "train/y"], "several policies must all be curves"),
        (["--policy", "base", "--data", "{questions}"], "several test sets are for curves"),
        (["--policy", "train/x@all", "--data", "{questions}"], "test sets of one name"),
        (["--policy", "train/none@all"], "no such training; this run has train/x, train/y"),
    ],
)
def test_what_is_no_curve_is_refused(run: RunDir, questions: str, options: list[str], words: str) -> None:
    result = cli(run.path, "--data", questions, *[option.format(questions=questions) for option in options])
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert "Traceback" not in result.stderr
