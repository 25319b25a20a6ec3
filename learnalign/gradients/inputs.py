"""From rollouts on disk to the samples whose gradients are taken, and an account of the prompts that have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnalign.config import GradConfig
from learnalign.errors import RunError
from learnalign.gradients.grpo import Completion, Sample, advantages, used_rollouts
from learnalign.rollouts.success import Success
from learnalign.rundir.files import read_parquet

COLUMNS = ["id", "sample", "prompt_ids", "completion_ids", "reward"]


@dataclass
class Selection:
    """The samples of a shard, and how many of its prompts were skipped for which reason."""

    samples: list[Sample] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def why_skipped(success: Success | None, prompts: str) -> str | None:
    """Why a prompt with this row of success.parquet has no gradient to take; None if it has one.

    V = 0 makes a zero row and column of S whatever the gradient; `prompts` "correct" asks for p > 0 instead.
    """
    if success is None or not success.scored:
        return "unscored"
    if not success.correct:
        return "unsolved"
    if success.learnability == 0.0 and prompts == "learnable":
        return "solved"
    return None


def read_samples(rollouts_file: Path, success: Mapping[str, Success], config: GradConfig) -> Selection:
    """The samples of one shard's rollouts, in their order there. Raises RunError for a rollout without tokens."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in read_parquet(rollouts_file, COLUMNS).to_pylist():
        groups.setdefault(row["id"], []).append(row)
    selection = Selection()
    for id, group in groups.items():
        reason = why_skipped(success.get(id), config.prompts)
        if reason is None:
            sample = to_sample(id, group, config.rollouts)
            reason = None if any(completion.advantage for completion in sample.completions) else "zero_advantage"
        if reason is None:
            selection.samples.append(sample)
        else:
            selection.skipped[reason] += 1
    return selection


def to_sample(id: str, group: list[dict[str, Any]], which: str) -> Sample:
    """The rollouts of one prompt (rows of a part file) as a sample; advantages are over the whole group."""
    group = sorted(group, key=lambda row: row["sample"])
    rewards = [row["reward"] for row in group]
    advantage = advantages(rewards)
    completions = []
    for i in used_rollouts(rewards, which):
        if not group[i]["completion_ids"] or not group[i]["prompt_ids"]:
            raise RunError(
                f"rollout {group[i]['sample']} of prompt {id} has no tokens; delete its part file and run rollout again"
            )
        completions.append(Completion(group[i]["completion_ids"], float(advantage[i] or 0.0)))
    return Sample(id, group[0]["prompt_ids"], completions)
