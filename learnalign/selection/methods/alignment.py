"""Methods that rank by row means of a similarity matrix: the paper's (Eq. 8), its ablations, feature similarity."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from learnalign.rollouts.uncertainty import row_weights
from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring, Stream, Sums, align


def learnalign(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = V_i · 1/n Σ_j V_j cos(φ_i, φ_j) (Eq. 8); prompts without a gradient score 0."""
    learnability = pool.success.learnability
    if pool.run.config.grad.projection == "exact":
        alignment, norm = pool.exact()
        score = _product(learnability, alignment, missing=0.0)
        return Scores(score=score, alignment=alignment, norm=norm, way="exact")
    weights = row_weights(learnability, pool.success.correct, pool.success.scored)
    return _weighted(pool.gradients, weights, scoring, missing=0.0, stored_sums=pool.sums)


def features(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = V_i · 1/n Σ_j V_j cos(h_i, h_j) with position-weighted mean hidden states h instead of gradients."""
    return _weighted(pool.hidden_features, pool.success.learnability[None], scoring, missing=0.0)


def cosine(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = 1/n Σ_j cos(φ_i, φ_j) over the prompts with a gradient, without learnability (§5.3)."""
    return _weighted(pool.gradients, np.ones((1, len(pool))), scoring, missing=np.nan)


def dot(pool: Pool, scoring: Scoring) -> Scores:
    """score_i = 1/n Σ_j ⟨φ_i, φ_j⟩ with the gradients' norms and without learnability (Eq. 4)."""
    norms = np.full(len(pool), np.nan)
    for block in pool.gradients():
        norms[block.places] = block.norms
    return _weighted(pool.gradients, norms[None], scoring, missing=np.nan)


def _weighted(
    stream: Stream,
    weights: Float[np.ndarray, "k n"],
    scoring: Scoring,
    missing: float,
    stored_sums: Sums | None = None,
) -> Scores:
    """The scores by the first `weights`, and the alignments by the second, if any, for the stability of the choice."""
    aligned = align(stream, weights, scoring, stored_sums)
    score = _product(weights[0], aligned.alignment[0], missing)
    likely = aligned.alignment[1] if len(weights) > 1 else None
    return Scores(
        score=score,
        alignment=aligned.alignment[0],
        expected=likely,
        norm=aligned.norm,
        way=aligned.way,
        error=aligned.error,
    )


def _product(
    weights: Float[np.ndarray, "n"], alignment: Float[np.ndarray, "n"], missing: float
) -> Float[np.ndarray, "n"]:
    return np.where(np.isnan(alignment), missing, weights * alignment)


METHODS = (
    Method(name="learnalign", score=learnalign, reads="grad", learnable=True, positive=True, similarity=True),
    Method(name="cosine", score=cosine, reads="grad", positive=True, similarity=True),
    Method(name="dot", score=dot, reads="grad", positive=True, similarity=True),
    Method(
        name="features",
        score=features,
        reads="signal",
        signal="features",
        learnable=True,
        positive=True,
        similarity=True,
    ),
)
