"""The prompts whose gradients are nearest to one prompt's: exactly, in O(n·D), shard by shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnalign.errors import InputError
from learnalign.pool_table import Prompt
from learnalign.rundir import RunDir
from learnalign.selection.pool import Pool


@dataclass(frozen=True)
class Neighbour:
    """A prompt, the cosine of its gradient with that of the prompt asked for, and its success rate."""

    prompt: Prompt
    cosine: float
    success_rate: float


def neighbours(run: RunDir, id: str, count: int) -> list[Neighbour]:
    """The `count` prompts with the largest cosines cos(φ_i, φ_j), nearest first, ties by ascending place; fewer if there are fewer.

    Raises InputError if the prompt has no gradient, and for `grad.projection: exact`, which keeps none; RunError before `grad`.
    """
    if run.config.grad.projection == "exact":
        raise InputError(
            "nearest prompts need stored features, which grad.projection: exact has none of; take gradients in a new run directory "
            "with --set grad.projection=kronecker"
        )
    pool = Pool(run)
    own = pool.prompts.places[id]
    row = next((block.units[block.places == own] for block in pool.gradients() if own in block.places), None)
    if row is None:
        raise InputError(
            f"prompt {id} has no gradient, of which others could be near; `learnalign status {run.quoted}` says why"
        )
    places, cosines = np.zeros(0, np.int64), np.zeros(0)
    for block in pool.gradients():
        others = np.flatnonzero(block.places != own)
        products = (block.units.double() @ row[0].double()).numpy()[others]
        places, cosines = np.concatenate([places, block.places[others]]), np.concatenate([cosines, products])
        best = np.lexsort((places, -cosines))[:count]
        places, cosines = places[best], cosines[best]
    rates = pool.success.rate[places].tolist()
    prompts = pool.prompts.take(places.tolist())
    return [Neighbour(*each) for each in zip(prompts, cosines.tolist(), rates, strict=True)]
