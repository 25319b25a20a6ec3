"""`learnalign eval`: scores a policy on a test set."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from learnalign.names import TEST_SETS, listed

from .common import (
    ConfigFile,
    Dir,
    DryRun,
    Json,
    Overrides,
    open_run,
    print_json,
    print_table,
    resolve_config,
    show_work,
)

Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="FILE",
        help=f"A ready test set ({listed(TEST_SETS)}), a YAML file like theirs, or data with the pool's columns.",
        show_default=False,
    ),
]
Completions = Annotated[int | None, typer.Option("--k", min=1, metavar="K", help="Completions per question.")]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy", metavar="MODEL", help="Model to evaluate: policy, base, train/NAME, or a model directory."
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Result name: DIR/eval/NAME.json; default: TESTSET-POLICY.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete DIR/eval/NAME and evaluate again.")]


def evaluate(
    directory: Dir,
    data: Data,
    k: Completions = None,
    policy: Policy = None,
    name: Name = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Evaluate a policy on a test set: pass@1, pass@k and avg@k with 95 % confidence intervals.

    --set changes the evaluation only, e.g. --set eval.temperature=0.8 --set data.limit=300.
    """
    chosen = [*(overrides or []), *([f"eval.num_generations={k}"] if k else [])]
    if dry_run:
        from learnalign.evaluation import evaluation_config
        from learnalign.rundir import RunDir

        planned = RunDir(directory, resolve_config(directory, config, None))
        show_work(evaluation_config(planned, data, policy, chosen), as_json, ["rollout"])
        return
    run = open_run(directory, config)
    from learnalign.evaluation import evaluate as stage

    result = stage(run, data, name=name, policy=policy, overrides=chosen, overwrite=overwrite)
    if as_json:
        print_json(asdict(result))
        return
    rows = [[metric, e.value, e.low, e.high, e.questions] for metric, e in result.metrics.items()]
    print_table(f"eval {result.name}", ["metric", "value", "95 % from", "to", "questions"], rows)
    facts = [
        ["test questions left out", result.left_out],
        ["completions", result.samples],
        ["not scored", result.unscored],
        ["cut at the longest length", result.truncated],
    ]
    print_table(str(result.file), ["", "count"], facts)
