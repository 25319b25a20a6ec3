"""Dynamic sampling (DAPO): a step's groups without spread are dropped and others drawn until the step is full."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from learnalign.config import Config
from learnalign.curriculum.shuffled import Shuffled
from learnalign.errors import counted
from learnalign.prompts import Prompt
from learnalign.rundir import RunDir

REDRAWS = 9  # ten draws in all, as DAPO's script


class Dynamic(Shuffled):
    """Prompts in seeded random order; the trainer draws again for every group whose scored rewards are all the same.

    A step whose groups still lack spread after `redraws` more draws goes on with them (their advantages are 0), and a
    warning on stderr says so once. Only draws before the same `update` belong to one step.

    Args:
        redraws: draws of a step after its first, at least 1.
    """

    def __init__(self, size: int, seed: int, redraws: int) -> None:
        super().__init__(size, seed)
        self.redraws, self.warned = redraws, False
        self.dropped = self.without_spread = 0  # groups, of all steps
        self.step = {"dropped": 0, "without_spread": 0}  # of the last step
        self.draws: list[int] = []  # rows drawn since the last update

    def draw(self, count: int) -> list[int]:
        """Rows of the step's first `count` prompts, or of `count` more in place of dropped ones."""
        self.draws.append(count)
        return super().draw(count)

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Counts the step's dropped groups, and those without spread that are left in it."""
        left = sum(rate in (0.0, 1.0, None) for rate in success_rates)
        self.step = {"dropped": sum(self.draws[1:]), "without_spread": left}
        self.dropped, self.without_spread = self.dropped + self.step["dropped"], self.without_spread + left
        self.draws = []
        if left and not self.warned:
            self.warned = True
            print(
                f"curriculum dynamic: after {1 + self.redraws} draws, {left} of {counted(len(rows), 'group')} of a step have no "
                "spread, and it goes on with them (metrics.jsonl counts them); draw more often with --set "
                "train.dynamic.redraws=N, sample more completions (train.num_generations), or leave out prompts that "
                "are always or never solved (select --method pass-filter)",
                file=sys.stderr,
            )

    def metrics(self) -> dict[str, float]:
        every = {"dropped_in_all": self.dropped, "without_spread_in_all": self.without_spread}
        return {**self.step, **every}

    def state_dict(self) -> dict[str, Any]:
        counts = {"dropped": self.dropped, "without_spread": self.without_spread, "step": self.step}
        return {**super().state_dict(), **counts, "warned": self.warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.dropped, self.without_spread, self.step = state["dropped"], state["without_spread"], state["step"]
        self.warned = state["warned"]


def make(run: RunDir, config: Config, prompts: Sequence[Prompt], count: int) -> Dynamic:
    """The curriculum of a training with settings `config`, which takes `count` of `prompts` each step."""
    return Dynamic(len(prompts), config.seed, config.train.dynamic.redraws or REDRAWS)
