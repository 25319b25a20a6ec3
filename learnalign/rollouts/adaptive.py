"""`rollout.adaptive`: after the first half of a group, sample the other half only where it can matter.

A group stops when its first half is all right or all wrong, and when its posterior leaves less than a 5 % chance that
the full group's V = p(1 − p) comes near those of the top N. Near is half the V that the Nth prompt is expected to have:
the score is V × alignment, and the alignment is not known yet. The samples taken are those the full group would begin
with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learnalign.config import Config
from learnalign.rollouts.success import Success
from learnalign.rollouts.uncertainty import Prior, fit_prior

CHANCE = 0.05
SLACK = 0.5


@dataclass(frozen=True, slots=True)
class FirstHalf:
    """Correct and scored rollouts of a group's first half."""

    correct: int
    scored: int


def half_of(rewards: Sequence[float | None]) -> FirstHalf:
    """Counts of a first half's rewards."""
    scored = [reward for reward in rewards if reward is not None]
    return FirstHalf(int(sum(scored)), len(scored))


def first_half(generations: int) -> int:
    """How many samples of a group of `generations` come first."""
    return -(-generations // 2)


def share_wanted(config: Config, prompts: int) -> float:
    """The share of the pool that `select.size` asks for."""
    size = config.select.size
    return size / prompts if isinstance(size, int) else size


def goes_on(halves: Sequence[FirstHalf], generations: int, share: float) -> list[bool]:
    """Which groups of a shard get their second half; `share` is the part of the pool that will be chosen."""
    more = generations - first_half(generations)
    values, chances = _full_groups(halves, more, Prior())
    near = SLACK * _threshold(values, chances, share)
    reach = (chances * (values >= near)).sum(axis=1)
    return [
        half.scored == 0 or (0 < half.correct < half.scored and bool(reach[i] >= CHANCE))
        for i, half in enumerate(halves)
    ]


def _full_groups(halves: Sequence[FirstHalf], more: int, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """For each group, the V its full group may have with 0…`more` further successes, and their probabilities."""
    correct = np.array([half.correct for half in halves], int)
    scored = np.array([half.scored for half in halves], int)
    chances = prior.predict(correct, scored, more)
    rates = (correct[:, None] + np.arange(more + 1)) / np.maximum(scored[:, None] + more, 1)
    return rates * (1 - rates), chances


def _threshold(values: np.ndarray, chances: np.ndarray, share: float) -> float:
    """The largest V that at least `share` of the groups are expected to reach."""
    order = np.argsort(-values, axis=None, kind="stable")
    reached = np.cumsum(chances.ravel()[order]) / max(len(values), 1)
    enough = np.flatnonzero(reached >= min(share, 1.0) - 1e-9)
    return float(values.ravel()[order[enough[0]]]) if len(enough) else 0.0


def report(
    rows: Sequence[Success], halves: dict[str, FirstHalf], tokens: dict[str, float], generations: int, size: int
) -> dict[str, float]:
    """What stopping saved, and what the full groups would have changed, as expected under the posterior.

    The prior here is the pool's own (`fit_prior`): it knows of prompts that are never or always solved.

    Args:
        rows: success of every prompt.
        halves: first halves by id, of every sampled group.
        tokens: mean tokens of a completion by id.
        generations: G.
        size: N, prompts that will be chosen.

    Returns:
        stopped_early, of which stopped_uniform were all right or all wrong; samples_saved; tokens_saved (the samples
        not drawn × the mean length of those drawn); would_be_learnable: how many of the uniform groups would have V > 0
        if they were full; would_reach_top: how many of the stopped would have at least the V of the Nth prompt.
    """
    more = generations - first_half(generations)
    stopped = [row for row in rows if row.id in halves and row.samples == generations - more < generations]
    prior = fit_prior([row.correct for row in rows], [row.scored for row in rows])
    values, chances = _full_groups([halves[row.id] for row in stopped], more, prior)
    uniform = np.array([row.learnability == 0 for row in stopped], bool)
    ranked = sorted((row.learnability for row in rows), reverse=True)
    nth = ranked[min(size, len(ranked)) - 1] if ranked else 0.0
    top = (values >= nth) if nth > 0 else values > 0
    return {
        "stopped_early": len(stopped),
        "stopped_uniform": int(uniform.sum()),
        "samples_saved": more * len(stopped),
        "tokens_saved": round(sum(more * tokens[row.id] for row in stopped)),
        "would_be_learnable": round(float((chances * (values > 0))[uniform].sum()), 1),
        "would_reach_top": round(float((chances * top).sum()), 1),
    }
