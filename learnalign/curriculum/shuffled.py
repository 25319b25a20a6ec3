"""The plain curriculum: every prompt once an epoch, in seeded random order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from learnalign.config import Config
from learnalign.prompts import Prompt
from learnalign.rundir import RunDir


class Shuffled:
    """`size` prompts, a new permutation each epoch; a step may reach from one epoch into the next, so that none is
    left out.
    """

    redraws = 0

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.drawn = size, seed, 0

    def draw(self, count: int) -> list[int]:
        rows = [self._row(position) for position in range(self.drawn, self.drawn + count)]
        self.drawn += count
        return rows

    def _row(self, position: int) -> int:
        epoch, place = divmod(position, self.size)
        return int(np.random.default_rng([self.seed, epoch]).permutation(self.size)[place])

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Nothing depends on how a step went."""

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"]


def make(run: RunDir, config: Config, prompts: Sequence[Prompt], count: int) -> Shuffled:
    """The curriculum of a training with settings `config`, which takes `count` of `prompts` each step."""
    return Shuffled(len(prompts), config.seed)
