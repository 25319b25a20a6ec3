"""One cell: trains on its choice, evaluates, and gathers what the table and the plots need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from learnalign import evaluate, gradient_norms, train
from learnalign.papers.cells import Cell
from learnalign.papers.pipeline import (
    LIMR,
    SPENT,
    choose,
    cost,
    method_of,
    needs,
    signal_cost_file,
    signals_of,
    subset_of,
    whole_pool,
)
from learnalign.papers.staged import Costs, Policies, train_rounds
from learnalign.papers.table import split_test
from learnalign.policy import policies_by_step
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_json, read_parquet
from learnalign.rundir.machine import describe_machine, versions


def perform(folder: Path, cell: Cell) -> dict[str, Any]:
    """Train and evaluate a cell whose pipeline is prepared in `folder`; returns its record, as `results` keeps it."""
    run = RunDir(folder / cell.pipeline, cell.config)
    choice = {}
    if cell.size is not None:
        choose(run, cell)
        choice = read_json(subset_of(run, cell).with_suffix(".choice"))
    costs = _selection_costs(run, cell, choice)
    record: dict[str, Any] = {"cell": cell.key, "fingerprint": cell.fingerprint, "panel": cell.panel, "arm": cell.name}
    record |= {"size": cell.size, "seed": cell.seed, **{key: choice[key] for key in choice if key != "select"}}
    policies: Policies = {0: (run, "base")} if cell.arm.train == "none" else {}
    if cell.arm.rounds:
        policies, record["training"] = train_rounds(run, cell, costs)
    elif cell.arm.trains:
        policies, record["training"] = _train(run, cell, costs)
    record["accuracy"] = {
        test: {str(step): _evaluate(*policy, cell, test) for step, policy in policies.items()}
        for test in (cell.tests if policies else ())
    }
    method = method_of(cell)
    if method is not None and method.reads == "grad":
        record["norm-length"] = gradient_norms(run).spearman
    return record | {"costs": costs, "versions": versions(), "machine": describe_machine()}


def _selection_costs(run: RunDir, cell: Cell, choice: Mapping[str, Any]) -> Costs:
    """What the stages cost that the cell's choice depends on."""
    stages = run.read_record()["stages"]
    made = {stage: cost(stages[stage]) for stage in needs(cell) if stage in stages and not cell.arm.spend}
    for name in signals_of(cell):
        made[f"signal {name}"] = read_json(signal_cost_file(run, name))
        if name == LIMR:
            made["signal train"] = cost(_training_entry(run, LIMR))
    made.pop("signal", None)
    return made | ({"select": choice["select"]} if choice else {})


def _training_entry(run: RunDir, name: str) -> dict[str, Any]:
    """What a training's own run.json says of it."""
    entry: dict[str, Any] = RunDir.peek(run.path / "train" / name).read_record()["stages"]["train"]
    return entry


def _train(run: RunDir, cell: Cell, costs: Costs) -> tuple[Policies, dict[str, Any]]:
    """Train; returns the policies to evaluate by step, and what happened in the training. Its cost is added to `costs`."""
    subset = subset_of(run, cell) if cell.size is not None else whole_pool(run)
    label = cell.label
    if cell.arm.spend:
        usual = train(run, subset, f"{label}-usual")  # says what a step costs here
        steps = usual.steps + _affordable(run, f"{label}-usual", usual.steps)
        longer = cell.config.train.model_copy(update={"steps": steps})
        run = RunDir(run.path, cell.config.model_copy(update={"train": longer}))
    result = train(run, subset, label)
    costs["train"] = cost(_training_entry(run, label))
    by_step = policies_by_step(run, label)
    wanted = {max(1, round(share * result.steps)) for share in cell.at}
    visits = read_parquet(result.rewards).to_pylist()
    return {step: (run, policy) for step, policy in by_step.items() if step in wanted}, {
        "steps": result.steps,
        "ended": result.ended,
        "reward": [_mean_reward(visits[: len(visits) // 4]), _mean_reward(visits[-len(visits) // 4 :])],
        "spread": sum(0 < row["correct"] < row["scored"] for row in visits) / len(visits),
        "unscored": result.unscored,
    }


def _mean_reward(visits: list[dict[str, Any]]) -> float:
    """Over the scored completions of some groups."""
    return sum(row["correct"] for row in visits) / max(1, sum(row["scored"] for row in visits))


def _affordable(run: RunDir, training: str, steps: int) -> int:
    """The steps that warmup, rollouts and gradients cost, at what a step of `training` cost: in CPU seconds, on a GPU in seconds."""
    kind = "seconds" if torch.cuda.is_available() else "cpu_seconds"
    stages = run.read_record()["stages"]
    spent = sum(stages[stage][kind] for stage in SPENT if stage in stages)
    return round(spent / (cost(_training_entry(run, training))[kind] / steps))


def _evaluate(run: RunDir, policy: str, cell: Cell, test: str) -> dict[str, Any]:
    """The headline, its standard deviation over rounds, and its value by columns of the test set."""
    data, settings = split_test(test)
    result = evaluate(run, data, policy=policy, overrides=[*cell.evaluate, *settings])
    std = result.metrics[result.metric].population_std  # as the paper has it
    columns = {column: {value: part.value for value, part in parts.items()} for column, parts in result.columns.items()}
    return {"metric": result.metric, "value": result.value, "std": std, "columns": columns}
