"""Methods that rank by success rate alone (App. J)."""

from __future__ import annotations

import numpy as np

from learnalign.selection.methods.chance import uniforms
from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring


def learnability(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = V_i = p_i(1 − p_i)."""
    return Scores(score=pool.success.learnability)


def hardest(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = 1/p_i, the rollouts that one success takes: lowest p first; prompts never solved score 0."""
    rate = pool.success.rate
    solved = rate > 0
    return Scores(score=np.divide(1.0, rate, out=np.zeros(len(pool)), where=solved))


def pass_filter(pool: Pool, scoring: Scoring) -> Scores:
    """Ranks prompts with 2 to G − 2 correct of G scored rollouts in a seeded order; all others score 0."""
    success = pool.success
    passing = (success.correct >= 2) & (success.correct <= success.scored - 2)
    return Scores(score=np.where(passing, uniforms(pool, scoring.seed, "pass-filter"), 0.0))


METHODS = (
    Method(name="learnability", score=learnability, reads="rollout", learnable=True, positive=True),
    Method(name="hardest", score=hardest, reads="rollout", positive=True),
    Method(name="pass-filter", score=pass_filter, reads="rollout", learnable=True, positive=True),
)
