"""`compare --norms`: gradient norm against response length, prompt by prompt (LearnAlign §5.3, Fig. 3a)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from learnalign.errors import RunError
from learnalign.gradients.inputs import read_samples
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_csv
from learnalign.selection.overlap import spearman
from learnalign.selection.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Norms:
    """One entry for each prompt that has a gradient, in the pool's order.

    `norm` is that of the stored gradient (projected, unless `grad.projection` is exact), `tokens` the mean length |o| of the
    rollouts that it averages (1/|o| in Eq. 7): one correct rollout, or the group's. `spearman` is their rank correlation,
    None if one of them is constant.
    """

    prompts: int
    spearman: float | None
    table: Path
    ids: list[str]
    norm: list[float]
    tokens: list[float]
    success_rate: list[float]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "table": str(self.table)}


def gradient_norms(run: RunDir) -> Norms:
    """Join norms and lengths and write DIR/norms.csv; raises RunError if there are no gradients or no rollouts."""
    pool = Pool(run)
    norm, tokens, success = _norms(pool), _tokens(pool), pool.success
    known = np.flatnonzero(~np.isnan(norm) & ~np.isnan(tokens))
    if not len(known):
        raise RunError(
            f"{run.path}: no prompt has both a gradient and stored rollouts; see `learnalign status {run.quoted}`"
        )
    norms = Norms(
        prompts=len(known),
        spearman=spearman(norm[known], tokens[known]),
        table=run.path / "norms.csv",
        ids=[pool.ids[i] for i in known],
        norm=norm[known].tolist(),
        tokens=tokens[known].tolist(),
        success_rate=success.rate[known].tolist(),
    )
    columns = {"id": norms.ids, "norm": norms.norm, "tokens": norms.tokens, "success_rate": norms.success_rate}
    write_csv(norms.table, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    return norms


def _norms(pool: Pool) -> Float[np.ndarray, "n"]:
    """‖∇J‖ or ‖φ‖, NaN for prompts without a gradient."""
    if pool.run.config.grad.projection == "exact":
        return pool.exact()[1]
    norms = np.full(len(pool), np.nan)
    for block in pool.gradients():
        norms[block.places] = block.norms
    return norms


def _tokens(pool: Pool) -> Float[np.ndarray, "n"]:
    """Mean |o| of the rollouts whose gradients are averaged, NaN for prompts without them."""
    run, tokens = pool.run, np.full(len(pool), np.nan)
    success = load_success(run)
    for shard in run.shards():
        path = run.rollouts_file(shard)
        if not path.is_file():
            raise RunError(f"{path} is missing; run `learnalign rollout {run.quoted}` first")
        samples = read_samples(path, success, run.config.grad).samples
        lengths = [np.mean([len(rollout.token_ids) for rollout in sample.rollouts]) for sample in samples]
        tokens[pool.places([sample.id for sample in samples], path)] = lengths
    return tokens
