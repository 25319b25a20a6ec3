"""GAIN-RL's ablation "accuracy only" (§4.5): no order, and a prompt that is fully correct once is not drawn again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from learnalign.config import Config
from learnalign.prompts import Prompt
from learnalign.rundir import RunDir


class Accuracy:
    """Prompts that were never fully correct, once an epoch in seeded random order.

    A step may reach from one epoch into the next, and takes a prompt twice if fewer are left than it needs. When none is
    left, all come back, with a line on stderr (the paper does not say what then).
    """

    redraws = 0

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.place = size, seed, 0
        self.solved: set[int] = set()

    def draw(self, count: int) -> list[int]:
        """Rows of the next `count` unsolved prompts."""
        if len(self.solved) == self.size:
            print(f"curriculum accuracy: all {self.size} prompts are solved, and all come back", file=sys.stderr)
            self.solved.clear()
            self.place = -(-self.place // self.size) * self.size  # in a new epoch
        rows: list[int] = []
        while len(rows) < count:
            epoch, start = divmod(self.place, self.size)
            order = np.random.default_rng([self.seed, epoch]).permutation(self.size)[start:]
            unsolved = [(place, int(row)) for place, row in enumerate(order, 1) if int(row) not in self.solved]
            taken = unsolved[: count - len(rows)]
            rows += [row for _, row in taken]
            self.place += taken[-1][0] if len(rows) == count else len(order)
        return rows

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Discards prompts whose scored rollouts were all correct."""
        self.solved |= {row for row, rate in zip(rows, success_rates, strict=True) if rate == 1.0}

    def metrics(self) -> dict[str, float]:
        return {"solved": len(self.solved)}

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place, "solved": sorted(self.solved)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place, self.solved = state["place"], set(state["solved"])


def make(run: RunDir, config: Config, prompts: Sequence[Prompt], count: int) -> Accuracy:
    """The curriculum of a training with settings `config`, which takes `count` of `prompts` each step."""
    return Accuracy(len(prompts), config.seed)
