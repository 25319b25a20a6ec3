"""A cell that is trained in rounds (LearnAlign, App. K): each round chooses with the policy so far."""

from __future__ import annotations

from typing import Any

from learnalign.papers.cells import Cell
from learnalign.papers.pipeline import cost
from learnalign.rounds import NAME, train_in_rounds
from learnalign.rundir import RunDir

Costs = dict[str, dict[str, float]]  # seconds and CPU seconds by stage
Policies = dict[int, tuple[RunDir, str]]  # by step or round: the policy's name in a run directory


def train_rounds(run: RunDir, cell: Cell, costs: Costs) -> tuple[Policies, dict[str, Any]]:
    """Train in rounds beside `run`; returns each round's policy by its number, and what happened. Its cost is added to `costs`."""
    assert cell.arm.rounds
    results = train_in_rounds(RunDir(run.path.with_name(f"{run.path.name}-{cell.label}"), cell.config), cell.arm.rounds)
    rounds = [RunDir.peek(result.directory) for result in results]
    for one in rounds:
        made = one.read_record()["stages"] | RunDir.peek(one.path / "train" / NAME).read_record()["stages"]
        for stage in ("warmup", "rollout", "grad", "select", "train"):
            if stage in made:
                before = costs.get(stage, {})
                costs[stage] = {key: value + before.get(key, 0.0) for key, value in cost(made[stage]).items()}
    return {number: (one, f"train/{NAME}") for number, one in enumerate(rounds, 1)}, {
        "steps": sum(result.steps for result in results),
        "rounds": [{"chosen": each.chosen, "steps": each.steps, "ended": each.ended} for each in results],
    }
