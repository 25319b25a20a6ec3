"""scores/METHOD.parquet: the same columns for every method, one row per prompt in the order of the pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from learnalign.selection.pool import Pool
from learnalign.selection.ranking import Ranking

SIZE = b"learnalign.size"  # metadata key of a scores file: the N requested


def scores_table(pool: Pool, ranking: Ranking, kept: Float[np.ndarray, "n"] | None = None) -> pa.Table:
    """Scores, ranks from 1, and what the scores were made of; columns that a method does not have are null.

    `alignment` and `norm` are of gradients (or features), `signal` is the signal's value, `kept` the share of resamples
    of p in which a chosen prompt is chosen again, `skipped` the reason why a prompt cannot be chosen.
    """
    success, scores, count = pool.known_success, ranking.scores, len(pool)
    ranks = np.empty(count, np.int64)
    ranks[ranking.order] = np.arange(1, count + 1)
    selected = np.zeros(count, bool)
    selected[ranking.chosen] = True
    columns = {
        "id": pool.id_column,
        "row": pool.prompts.column("row"),
        "score": _numbers(scores.score, count),
        "rank": pa.array(ranks),
        "selected": pa.array(selected),
        "alignment": _numbers(scores.alignment, count),
        "learnability": _numbers(success and success.learnability, count),
        "success_rate": _numbers(success and success.rate, count),
        "scored": _whole(success and success.scored, count),
        "correct": _whole(success and success.correct, count),
        "norm": _numbers(scores.norm, count),
        "signal": _numbers(scores.signal, count),
        "cluster": _whole(ranking.clusters, count),
        "kept": _numbers(kept, count),
        "skipped": ranking.reasons,
    }
    return pa.table(columns).replace_schema_metadata({SIZE: str(ranking.size)})


def _numbers(values: Any, count: int) -> pa.Array:
    """A column of doubles, null for NaN; all null if `values` is None."""
    return pa.nulls(count, pa.float64()) if values is None else pa.array(values, pa.float64(), from_pandas=True)


def _whole(values: Any, count: int) -> pa.Array:
    """A column of whole numbers; all null if `values` is None."""
    return pa.nulls(count, pa.int64()) if values is None else pa.array(values, pa.int64())
