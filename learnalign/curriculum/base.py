"""What a curriculum is, and the plain one: every prompt once an epoch, in seeded random order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Curriculum(Protocol):
    """Decides which prompts the next step trains on; each step is followed by `update` before the next `draw`."""

    def draw(self, count: int) -> list[int]:
        """Rows of the next step's `count` prompts."""
        ...

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Called after each step with its rows, their success rates (None: no scored rollout) and the model that
        sampled the rollouts.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON values, stored with every checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        ...


class Shuffled:
    """`size` prompts, a new permutation each epoch; a step may reach from one epoch into the next, so that none is
    left out.
    """

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

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"]
