"""What the rollouts came to: success.parquet, the stage's counts, and the groups that say less than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from learnalign.config import Config
from learnalign.prompts import Prompt
from learnalign.rollouts.adaptive import first_half, half_of, report, share_wanted
from learnalign.rollouts.groups import Outcome, load_counts, load_left_out, load_outcomes
from learnalign.rollouts.success import Success, distribution, summarize, write_success
from learnalign.rundir import RunDir, StageRecord


@dataclass(frozen=True, kw_only=True)
class RolloutResult:
    """What the stage left.

    Args:
        counts: prompts with rollouts, left_out, samples, tokens, truncated (cut_short: by the context, before
            `rollout.max_completion_length`), unscored, learnable (V > 0), fewer_scored.
        distribution: prompts by their p.
        fewer_scored: scored rollouts by id, of groups with fewer than others: their p is estimated from less.
        adaptive: what stopping groups early saved and would have changed (`adaptive.report`); empty where it is off.
        success_file: where the success rates are.
    """

    counts: dict[str, int]
    distribution: dict[str, int]
    fewer_scored: dict[str, int]
    adaptive: dict[str, float]
    success_file: Path


def conclude(run: RunDir, prompts: Sequence[Prompt], record: StageRecord) -> RolloutResult:
    """Write success.parquet and the stage's lines of quarantine.jsonl from the stored shards; fill in the record."""
    shards = run.shards()
    outcomes = {id: group for shard in shards for id, group in load_outcomes(run, shard).items()}
    counted = {group.id: group for shard in shards for group in load_counts(run, shard)}
    rows = summarize(prompts, outcomes, counted)
    write_success(run, rows)
    run.quarantine("rollout", [entry for shard in shards for entry in load_left_out(run, shard)])
    adaptive = _adaptive(run.config, rows, outcomes) if run.config.rollout.adaptive and not counted else {}
    fewer = fewer_scored(rows, run.config.rollout.adaptive)
    result = RolloutResult(
        counts=_counts(rows, outcomes, fewer, run.config.rollout.max_completion_length),
        distribution=distribution(rows),
        fewer_scored=fewer,
        adaptive=adaptive,
        success_file=run.success_file,
    )
    record.counts |= result.counts
    record.notes |= {"distribution": result.distribution, "fewer_scored": fewer} | (
        {"adaptive": adaptive} if adaptive else {}
    )
    return result


def _counts(
    rows: Sequence[Success], outcomes: Mapping[str, Sequence[Outcome]], fewer: Mapping[str, int], room: int
) -> dict[str, int]:
    every = [outcome for group in outcomes.values() for outcome in group]
    samples = sum(row.samples for row in rows)
    return {
        "prompts": sum(row.samples > 0 for row in rows),
        "left_out": sum(row.samples == 0 for row in rows),
        "samples": samples,
        "tokens": sum(outcome.tokens for outcome in every),
        "truncated": sum(outcome.truncated for outcome in every),
        "cut_short": sum(outcome.truncated and outcome.tokens < room for outcome in every),
        "unscored": samples - sum(row.scored for row in rows),
        "learnable": sum(row.learnability > 0 for row in rows),
        "fewer_scored": len(fewer),
    }


def fewer_scored(rows: Sequence[Success], adaptive: bool) -> dict[str, int]:
    """Scored rollouts by id, of the sampled groups with fewer than the fullest, but for those stopped on purpose."""
    most = max((row.scored for row in rows), default=0)
    return {
        row.id: row.scored
        for row in rows
        if row.samples and row.scored < (min(most, row.samples) if adaptive else most)
    }


def _adaptive(config: Config, rows: Sequence[Success], outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, float]:
    size = config.rollout.num_generations
    halves = {id: half_of([o.reward for o in group[: first_half(size)]]) for id, group in outcomes.items()}
    tokens = {id: sum(o.tokens for o in group) / len(group) for id, group in outcomes.items()}
    return report(rows, halves, tokens, size, round(share_wanted(config, len(rows)) * len(rows)))
