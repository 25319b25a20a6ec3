"""`learnalign eval`: scores a policy on a test set, or all policies of trainings."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.errors import InputError
from learnalign.names import TEST_SETS, lined

from .common import (
    ConfigFile,
    Dir,
    DryRun,
    Json,
    Overrides,
    Trust,
    print_json,
    print_table,
    resolve_config,
    size_text,
    use_run,
)
from .planning import show_work

if TYPE_CHECKING:
    from pathlib import Path

    from learnalign.evaluation import Curves, Difference, EvalResult
    from learnalign.rundir import RunDir

Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="FILE",
        help="A ready test set, a YAML file like theirs, or data with the pool's columns; "
        f"repeatable for curves, which are then of the mean.{lined(TEST_SETS)}",
        show_default=False,
    ),
]
Completions = Annotated[int | None, typer.Option("--k", min=1, metavar="K", help="Completions per question.")]
Rounds = Annotated[
    int | None, typer.Option("--rounds", min=1, metavar="R", help="Evaluate R times with other seeds: mean and std.")
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="MODEL",
        help="Model to evaluate: policy, base, train/NAME, train/NAME@STEP, or a model directory; train/NAME@all (repeatable) "
        "for a curve.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Result name: DIR/eval/NAME.json, default TESTSET-POLICY (-seedS with a seed of its own); of curves DIR/eval/NAME.csv.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="NAME",
        help="Compare with this evaluation in DIR/eval, of the same test set: difference, question by question.",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Evaluate again; the new result replaces the old once it is whole.")
]


def evaluate(
    directory: Dir,
    data: Data,
    k: Completions = None,
    rounds: Rounds = None,
    policy: Policies = None,
    name: Name = None,
    against: Against = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Evaluate a policy on a test set: greedy accuracy, pass@k and avg@k with 95 % confidence intervals.

    --policy train/NAME@all evaluates every policy that the training kept, from its start to its end:
    a table and a plot of accuracy over steps. With several trainings, the first is the reference:
    the step at which each other one reaches its last accuracy (GAIN-RL's Epo@Same Acc) and its best.
    --set changes the evaluation only, e.g. --set eval.temperature=0.8 --set eval.seed=1.
    """
    chosen = [*(overrides or []), *([f"eval.num_generations={k}"] if k else [])]
    chosen += [f"eval.rounds={rounds}"] if rounds else []
    from learnalign.rundir import RunDir

    run = (
        RunDir(directory, resolve_config(directory, config, None, trust))
        if dry_run
        else use_run(directory, config, trust=trust)
    )
    trainings = _trainings(run, policy or [run.config.eval.policy], data)
    if trainings and against is not None:
        raise InputError(
            f"--against {against}: two policies are compared, and curves (@all) are of many; name one, such as "
            f"--policy train/{trainings[0]}"
        )
    if dry_run:
        _show_work(run, data, policy, trainings, chosen, as_json)
    elif trainings:
        from learnalign.evaluation import evaluate_curves
        from learnalign.report import plot_curves

        curves = evaluate_curves(run, data, trainings, name=name, overrides=chosen, overwrite=overwrite)
        _show_curves(curves, plot_curves(curves), as_json)
    else:
        from learnalign.evaluation import evaluate as stage

        one = policy[0] if policy else None
        result = stage(run, data[0], name=name, policy=one, overrides=chosen, overwrite=overwrite, against=against)
        _show(result, as_json)


def _trainings(run: RunDir, policies: list[str], data: list[str]) -> list[str]:
    """The trainings whose curves are wanted; none for a single policy on a single test set."""
    from learnalign.evaluation import training_of

    trainings = [training for policy in policies if (training := training_of(policy)) is not None]
    if len(trainings) < len(policies) and (trainings or len(policies) > 1):
        raise InputError(
            f"--policy {', '.join(policies)}: several policies must all be curves, train/NAME@all (step 0 of which is the "
            "model that it started from); evaluate any other policy by a command of its own"
        )
    if len(data) > 1 and not trainings:
        raise InputError("--data: several test sets are for curves (--policy train/NAME@all); give one")
    return trainings


def _show_work(
    run: RunDir, data: list[str], policy: list[str] | None, trainings: list[str], overrides: list[str], as_json: bool
) -> None:
    """The settings and the work of one evaluation, or the work of a curve's evaluations by test set."""
    from learnalign.evaluation import check_questions, evaluation_config

    if trainings:
        _show_work_of_curves(run, data, trainings, overrides, as_json)
        return
    planned = evaluation_config(run, data[0], policy[0] if policy else None, overrides)
    check_questions(planned)
    show_work(planned, as_json, ["rollout"], rounds=planned.eval.rounds)


def _show_work_of_curves(
    run: RunDir, data: list[str], trainings: list[str], overrides: list[str], as_json: bool
) -> None:
    from learnalign.evaluation import check_questions, evaluation_config
    from learnalign.plan import plan
    from learnalign.policy import policies_by_step

    policies = list(dict.fromkeys(policy for name in trainings for policy in policies_by_step(run, name).values()))
    rows: list[list[Any]] = []
    for test_set in data:
        planned = evaluation_config(run, test_set, policies[0], overrides)
        check_questions(planned)
        (work,) = plan(planned, ["rollout"]).stages
        count = len(policies) * planned.eval.rounds
        rows.append([test_set, work.prompts, count, work.tokens * count, (work.disk_bytes or 0) * count])
    if as_json:
        keys = ["test_set", "prompts", "evaluations", "tokens", "disk_bytes"]
        print_json({"policies": policies, "work": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    columns = ["test set", "prompts", "evaluations", "tokens at most", "disk at most"]
    print_table("work, finished evaluations included", columns, [[*row[:-1], size_text(row[-1])] for row in rows])
    print(f"policies: {', '.join(policies)}")


def _show(result: EvalResult, as_json: bool) -> None:
    if as_json:
        print_json(asdict(result))
        return
    several = len(result.seeds) > 1
    columns = [
        "metric",
        "mean" if several else "value",
        *(["± std"] if several else []),
        "95 % from",
        "to",
        "questions",
    ]
    rows = [
        [metric, e.value, *([e.std] if several else []), e.low, e.high, e.questions]
        for metric, e in result.metrics.items()
    ]
    print_table(f"eval {result.name}", columns, rows)
    if result.columns:
        parts = [
            [column, value, part.value, part.low, part.high, part.questions]
            for column, parts in result.columns.items()
            for value, part in parts.items()
        ]
        print_table(
            f"{result.metric} by columns of the test set",
            ["column", "value", result.metric, "95 % from", "to", "questions"],
            parts,
        )
    if result.against is not None:
        _show_against(result.metric, result.against)
    if several:
        values = result.metrics[result.metric].rounds
        print_table("rounds", ["seed", result.metric], [list(row) for row in zip(result.seeds, values, strict=True)])
        print("± is the sample standard deviation (divisor rounds − 1); population_std in the file has divisor rounds")
    facts = [
        ["test questions left out", result.left_out],
        ["completions", result.samples],
        ["not scored", result.unscored],
        ["cut at the longest length", result.truncated],
    ]
    print_table(str(result.file), ["", "count"], facts)


def _show_against(metric: str, difference: Difference) -> None:
    """The paired comparison."""
    d = difference
    print_table(
        f"{metric} against {d.name} ({d.policy}), on the same questions",
        ["here", "there", "difference", "95 % from", "to"],
        [[d.here, d.there, d.value, d.low, d.high]],
    )
    facts = [["better here", d.better], ["worse here", d.worse], ["equal", d.equal]]
    more = {"scored here only": d.only_here, f"scored in {d.name} only": d.only_there, "scored in neither": d.neither}
    print_table("", ["", "questions"], [*facts, *([name, count] for name, count in more.items() if count)])


def _show_curves(curves: Curves, plot: Path, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(curves), "plot": plot})
        return
    print_table(*_points_table(curves))
    reference = curves.same_accuracy[0].training
    rows = [list(asdict(row).values()) for row in curves.same_accuracy]
    columns = ["training", "last step", "last", "best step", "best"]
    columns += ["step to last", "speed-up", "step to best", "speed-up"]
    print_table(f"steps to the last and the best accuracy of {reference}; –: not reached", columns, rows)
    for note in curves.notes:
        print(note)
    print(f"table: {curves.table}")
    print(f"plot: {plot}")


def _points_table(curves: Curves) -> tuple[str, list[str], list[list[Any]]]:
    """Title, columns and rows: the interval with one test set, every test set's value with more."""
    title = ", ".join(f"{name}: {metric}" for name, metric in curves.metrics.items())
    if len(curves.metrics) > 1:
        rows = [[p.training, p.step, *(result.value for result in p.results.values()), p.value] for p in curves.points]
        return title, ["training", "step", *curves.metrics, "average"], rows
    (label,) = curves.metrics
    estimates = [point.results[label].metrics[curves.metrics[label]] for point in curves.points]
    std = ["± std"] if any(each.std is not None for each in estimates) else []
    rows = [
        [point.training, point.step, each.value, *([each.std] if std else []), each.low, each.high]
        for point, each in zip(curves.points, estimates, strict=True)
    ]
    return title, ["training", "step", "value", *std, "95 % from", "to"], rows
