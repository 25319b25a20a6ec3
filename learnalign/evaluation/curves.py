"""Accuracy over training steps, and the steps to the same accuracy (`learnalign eval --policy train/NAME@all`).

LearnAlign, Fig. 4 and Table 5; GAIN-RL, Fig. 7 to 10 and Tables 1, 2, 3 and 5 (Epo@Same Acc).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, RunError
from learnalign.evaluation.stage import EvalResult, evaluate
from learnalign.evaluation.testset import check_questions, default_name, evaluation_config, own_seed
from learnalign.policy import ALL, model_digest, model_path, policies_by_step, policy_path
from learnalign.rundir import RunDir, default_file_name, file_name
from learnalign.rundir.files import write_csv

AVERAGE = "average"  # the test set of the rows of the table that hold the mean over all test sets
SAME = 1e-12  # accuracies nearer than this are equal: sums of the same numbers differ by rounding


@dataclass(frozen=True, kw_only=True)
class Point:
    """A policy of a training: `value` is the headline metric, the mean over the test sets whose `results` are by name."""

    training: str
    step: int
    policy: str
    value: float
    results: dict[str, EvalResult]


@dataclass(frozen=True, kw_only=True)
class SameAccuracy:
    """When a training reaches the accuracy of the first one, the reference: evaluated steps only, None if it does not.

    GAIN-RL compares with the reference's last accuracy (§4.1: epochs until vanilla GRPO's accuracy at epoch 200), LearnAlign
    with its best (§5.3). A speed-up is the reference's step, its last or its best, over the training's.
    """

    training: str
    last_step: int
    last: float
    best_step: int
    best: float
    step_to_last: int | None
    speed_up_to_last: float | None
    step_to_best: int | None
    speed_up_to_best: float | None


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The points of all trainings by ascending step, the steps to the same accuracy, and the table's file.

    `metrics` are the headlines by test set, `notes` sentences for the user.
    """

    name: str
    metrics: dict[str, str]
    points: list[Point]
    same_accuracy: list[SameAccuracy]
    table: Path
    notes: list[str]

    def of(self, training: str) -> list[Point]:
        """The points of one training."""
        return [point for point in self.points if point.training == training]


def evaluate_curves(
    run: RunDir,
    data: Sequence[str],
    trainings: Sequence[str],
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
) -> Curves:
    """Evaluate every policy of each training, what it started from (step 0) included, and write DIR/eval/NAME.csv.

    Args:
        run: as in `evaluate`.
        data: test sets; the accuracy of a policy is its mean over them.
        trainings: names under DIR/train; the others are compared with the first.
        name: of the table, and how the names of the evaluations begin; None: TESTSETS-curve-TRAININGS, and the
            evaluations have their default names, so that those that exist are not repeated.
        overrides, overwrite: as in `evaluate`.

    Each point is an evaluation of its own, as by `evaluate`; an interrupted call resumes. Raises what `evaluate` raises, and
    InputError for test sets of the same name or a training that started from another model than the run has now, RunError
    for one that has stored no policy yet.
    """
    labels = _labels(data)
    steps = {training: policies_by_step(run, training) for training in dict.fromkeys(trainings)}
    for training, policies in steps.items():
        _check_start(run, training)
        if len(policies) == 1:
            raise RunError(
                f"train/{training}@all: no policy is stored yet; run `learnalign train` again to resume or begin the training"
            )
    configs = {label: evaluation_config(run, each, "base", overrides) for label, each in labels.items()}
    for config in configs.values():
        check_questions(config)
    prefix = f"{file_name(name)}-" if name else ""
    done: dict[tuple[str, str], EvalResult] = {}
    wanted = list(
        dict.fromkeys((label, policy) for each in steps.values() for policy in each.values() for label in labels)
    )
    for number, (label, policy) in enumerate(wanted, 1):
        print(f"curve: {policy} on {label}, evaluation {number} of {len(wanted)}", file=sys.stderr, flush=True)
        own = prefix + default_name(labels[label], policy, own_seed(run, configs[label]))
        done[label, policy] = evaluate(
            run, labels[label], name=own, policy=policy, overrides=overrides, overwrite=overwrite
        )
    points = [
        _point(training, step, policy, {label: done[label, policy] for label in labels})
        for training, policies in steps.items()
        for step, policy in policies.items()
    ]
    seeds = dict.fromkeys(f"seed{seed}" for each in configs.values() if (seed := own_seed(run, each)) is not None)
    name = name or default_file_name(data[0], *list(labels)[1:], "curve", *steps, *seeds)
    table = run.path / "eval" / f"{name}.csv"
    write_csv(table, [row for point in points for row in _rows(point)])
    return Curves(
        name=name,
        metrics={label: result.metric for label, result in points[0].results.items()},
        points=points,
        same_accuracy=same_accuracy({t: [(p.step, p.value) for p in points if p.training == t] for t in steps}),
        table=table,
        notes=[note for training, policies in steps.items() for note in _what_is_missing(training, policies)],
    )


def same_accuracy(curves: Mapping[str, Sequence[tuple[int, float]]]) -> list[SameAccuracy]:
    """Compare curves, (step, accuracy) by ascending step, with the first of them."""
    reference = next(iter(curves.values()))
    last_step, last = reference[-1]
    best_step, best = _best(reference)
    rows = []
    for training, points in curves.items():
        to_last = last_step if points is reference else _first_step(points, last)
        to_best = _first_step(points, best)
        rows.append(
            SameAccuracy(
                training=training,
                last_step=points[-1][0],
                last=points[-1][1],
                best_step=_best(points)[0],
                best=_best(points)[1],
                step_to_last=to_last,
                speed_up_to_last=last_step / to_last if to_last else None,
                step_to_best=to_best,
                speed_up_to_best=best_step / to_best if to_best else None,
            )
        )
    return rows


def _best(points: Sequence[tuple[int, float]]) -> tuple[int, float]:
    """The first of the points with the highest accuracy."""
    highest = max(value for _, value in points)
    return next((step, value) for step, value in points if value >= highest - SAME)


def _first_step(points: Sequence[tuple[int, float]], accuracy: float) -> int | None:
    return next((step for step, value in points if value >= accuracy - SAME), None)


def _labels(data: Sequence[str]) -> dict[str, str]:
    """The test sets by the name that their results have."""
    labels = {default_file_name(each): each for each in data}
    if len(labels) < len(data):
        raise InputError(f"--data: {', '.join(data)} include test sets of one name; rename a file, or give it once")
    return labels


def _check_start(run: RunDir, training: str) -> None:
    """Refuse a training that started from another model than the base model or policy that step 0 would be."""
    directory = RunDir.peek(run.path / "train" / training)
    recorded = directory.read_record()["stages"].get("train", {}).get("start_digest")
    start = directory.config.train.start
    model = model_path(run.config) if start == "base" else policy_path(run)
    if recorded and recorded != model_digest(model):
        raise InputError(
            f"{directory.path} was trained from another {start} than the current one, so its curve has no beginning; train "
            f"it again, or evaluate its steps one by one (--policy train/{training}@STEP)"
        )


def _point(training: str, step: int, policy: str, results: dict[str, EvalResult]) -> Point:
    value = statistics.fmean(result.value for result in results.values())
    return Point(training=training, step=step, policy=policy, value=value, results=results)


def _rows(point: Point) -> list[dict[str, Any]]:
    """The point's rows of the table: one per test set, and with several of them the average."""
    rows = []
    for label, result in point.results.items():
        estimate = result.metrics[result.metric]
        numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "std": estimate.std}
        numbers |= {"rounds": len(result.seeds), "questions": estimate.questions}
        rows.append({"test_set": label, "metric": result.metric, **numbers, "evaluation": result.name})
    if len(rows) > 1:
        rows.append({**dict.fromkeys(rows[0]), "test_set": AVERAGE, "value": point.value})
    return [{"training": point.training, "step": point.step, "policy": point.policy, **row} for row in rows]


def _what_is_missing(training: str, policies: Mapping[int, str]) -> list[str]:
    notes = []
    if f"train/{training}" not in policies.values():
        notes.append(f"train/{training} is not finished: its curve ends at step {max(policies)}")
    if len(policies) < 3:
        steps = ", ".join(map(str, policies))
        notes.append(f"train/{training} has the steps {steps} only: train.keep_checkpoints keeps more of them")
    return notes


def training_of(policy: str) -> str | None:
    """NAME of train/NAME@all; None for any other policy."""
    name = policy.removeprefix("train/").removesuffix(ALL)
    return name if policy == f"train/{name}{ALL}" else None
