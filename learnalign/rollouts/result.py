"""What the stage produced: success.parquet, its counts, and the groups with fewer scored rollouts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from learnalign.pool_table import Prompts
from learnalign.rollouts.adaptive import report, share_wanted
from learnalign.rollouts.groups import Outcome, load_outcomes
from learnalign.rollouts.judging import refuse_unscored, unscored_reasons
from learnalign.rollouts.success import Success, distribution, summarize, write_success
from learnalign.rundir import RunDir, StageRecord

MOST_REASONS = 10
SCORES_AGAIN = "it scores the stored rollouts again"


@dataclass(frozen=True, kw_only=True)
class RolloutResult:
    """Results of the stage.

    Args:
        counts: prompts with rollouts, left_out, samples, tokens, truncated (cut_short: by the context, before
            `rollout.max_completion_length`), unscored, learnable (V > 0), fewer_scored.
        distribution: prompts by their p.
        unscored: rollouts that were not scored, by the reason; `MOST_REASONS` at most.
        fewer_scored: scored rollouts by id, of groups with fewer than others: their p is less certain.
        adaptive: tokens that stopping groups early saved, and the changes expected (`adaptive.report`); empty if off.
        success_file: path of success.parquet.
    """

    counts: dict[str, int]
    distribution: dict[str, int]
    unscored: dict[str, int]
    fewer_scored: dict[str, int]
    adaptive: dict[str, float]
    success_file: Path


def conclude(run: RunDir, prompts: Prompts, record: StageRecord) -> RolloutResult:
    """Write success.parquet and the stage's lines of quarantine.jsonl from the stored shards; fill in the record."""
    settings = run.config.rollout
    stored = load_outcomes(run)
    outcomes, counts = stored.outcomes, stored.counts
    reasons = unscored_reasons(stored.unscored.elements())
    if not counts:
        every = sum(outcome.samples for outcome in outcomes.values())
        refuse_unscored(reasons, every, run.config.verifier, SCORES_AGAIN)
    frequent = dict(list(reasons.items())[:MOST_REASONS])
    rows = summarize(prompts.ids, outcomes, counts)
    write_success(run, rows)
    run.quarantine("rollout", stored.left_out)
    adaptive = {}
    if settings.adaptive and not counts:
        adaptive = report(
            rows, outcomes, settings.num_generations, round(share_wanted(run.config, len(rows)) * len(rows))
        )
    fewer = fewer_scored(rows, settings.adaptive)
    result = RolloutResult(
        counts=_counts(rows, outcomes.values(), fewer),
        distribution=distribution(rows),
        unscored=frequent,
        fewer_scored=fewer,
        adaptive=adaptive,
        success_file=run.success_file,
    )
    record.counts |= result.counts
    record.notes |= {"distribution": result.distribution, "fewer_scored": fewer, "unscored_reasons": frequent}
    record.notes |= {"adaptive": adaptive} if adaptive else {}
    return result


def _counts(rows: Sequence[Success], outcomes: Collection[Outcome], fewer: Mapping[str, int]) -> dict[str, int]:
    samples = sum(row.samples for row in rows)
    return {
        "prompts": sum(row.samples > 0 for row in rows),
        "left_out": sum(row.samples == 0 for row in rows),
        "samples": samples,
        "tokens": sum(outcome.tokens for outcome in outcomes),
        "truncated": sum(outcome.truncated for outcome in outcomes),
        "cut_short": sum(outcome.cut_short for outcome in outcomes),
        "unscored": samples - sum(row.scored for row in rows),
        "learnable": sum(row.learnability > 0 for row in rows),
        "fewer_scored": len(fewer),
    }


def fewer_scored(rows: Sequence[Success], adaptive: bool) -> dict[str, int]:
    """Scored rollouts by id, of the sampled groups with fewer than the fullest; groups stopped on purpose do not count."""
    most = max((row.scored for row in rows), default=0)
    return {
        row.id: row.scored
        for row in rows
        if row.samples and row.scored < (min(most, row.samples) if adaptive else most)
    }
