"""`rollout.adaptive`: after the first half of a group, sample the second half only if it can matter.

A group stops if its first half is all correct or all wrong, or if its posterior leaves less than a 5 % chance that the
full group's V = p(1 − p) comes near those of the top N. Near means half the V expected of the Nth prompt: the score is
V × alignment, and the alignment is not known yet. A stopped group is the beginning of the full one, token for token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learnalign.config import Config
from learnalign.rollouts.groups import Outcome
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
    """Samples in the first half of a group of `generations`; the larger half."""
    return -(-generations // 2)


def share_wanted(config: Config, prompts: int) -> float:
    """The share of the pool that `select.size` asks for."""
    size = config.select.size
    return size / prompts if isinstance(size, int) else size


def needs_second_half(halves: Sequence[FirstHalf], generations: int, share: float) -> list[bool]:
    """Which groups of a shard get their second half; `share` is the part of the pool that will be chosen, in [0, 1]."""
    more = generations - first_half(generations)
    values, chances = _full_groups(halves, more, Prior())
    near = SLACK * _threshold(values, chances, share)
    reach = (chances * (values >= near)).sum(axis=1)
    return [
        half.scored == 0 or (0 < half.correct < half.scored and bool(reach[i] >= CHANCE))
        for i, half in enumerate(halves)
    ]


def _full_groups(halves: Sequence[FirstHalf], more: int, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """For each group, V of the full group after 0…`more` further successes, and the probabilities of these."""
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


def report(rows: Sequence[Success], outcomes: Mapping[str, Outcome], generations: int, size: int) -> dict[str, float]:
    """Tokens that stopping groups early saved, and the changes that full groups would bring, expected under the posterior.

    The prior is fitted to the pool (`fit_prior`): it includes prompts that are never or always solved.

    Args:
        rows: success of every prompt.
        outcomes: of every sampled group, by id.
        generations: G.
        size: N, prompts that will be chosen.

    Returns:
        stopped_early, of which stopped_uniform were all correct or all wrong; samples_saved; tokens_saved (samples not
        drawn × mean length of the group's samples); would_be_learnable: expected number of uniform groups with V > 0 if
        they were full; would_reach_top: expected number of stopped groups with at least the V of the Nth prompt.
    """
    more = generations - first_half(generations)
    stopped = [row for row in rows if row.id in outcomes and row.samples == generations - more < generations]
    prior = fit_prior([row.correct for row in rows], [row.scored for row in rows])
    values, chances = _full_groups([FirstHalf(row.correct, row.scored) for row in stopped], more, prior)
    lengths = [outcomes[row.id].tokens / outcomes[row.id].samples for row in stopped]
    uniform = np.array([row.learnability == 0 for row in stopped], bool)
    ranked = sorted((row.learnability for row in rows), reverse=True)
    nth = ranked[min(size, len(ranked)) - 1] if ranked else 0.0
    top = (values >= nth) if nth > 0 else values > 0
    return {
        "stopped_early": len(stopped),
        "stopped_uniform": int(uniform.sum()),
        "samples_saved": more * len(stopped),
        "tokens_saved": round(sum(more * length for length in lengths)),
        "would_be_learnable": round(float((chances * (values > 0))[uniform].sum()), 1),
        "would_reach_top": round(float((chances * top).sum()), 1),
    }
