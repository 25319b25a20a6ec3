"""What a curriculum is. `train.curriculum` names a module here, whose `make` returns one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Curriculum(Protocol):
    """Decides which prompts the next step trains on; each step is followed by `update` before the next step's `draw`.

    `redraws`: how often within a step groups without spread are dropped and others drawn in their place; 0: never.
    """

    redraws: int

    def draw(self, count: int) -> list[int]:
        """Rows of the next step's `count` prompts."""
        ...

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Called after each step with its rows, their success rates (None: no scored rollout) and the model that
        sampled the rollouts.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """Numbers about the last step for metrics.jsonl, where their names follow `curriculum/`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON values, stored with every checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        ...
