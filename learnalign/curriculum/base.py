"""What a curriculum is. `train.curriculum` names a module here, whose `make` returns one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Curriculum(Protocol):
    """Decides which prompts the next step trains on; `update` hears of a step before the next one is drawn."""

    def draw(self, count: int) -> list[int]:
        """Rows of the next step's `count` prompts."""
        ...

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Hear how a step went: its rows, the correct fraction of each one's rollouts (None: unscorable), and the
        model that drew them.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON values, stored with every checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        ...
