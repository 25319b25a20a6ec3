"""When the training reward has stopped rising (LearnAlign, App. K: rounds train until convergence)."""

from __future__ import annotations

from collections import deque
from typing import Any

from learnalign.config import UntilConfig


class Convergence:
    """Follows the mean reward of the last `patience` steps, from the first `patience` steps on.

    The first such mean is the best. A later one above the best by more than `min_delta` is the new best. The training has
    converged `patience` steps after the last best: at step 2 · `patience` at the earliest. A step without a scored
    completion counts as a step and not in the mean; if no step of a mean has one, the mean is no best.
    """

    def __init__(self, settings: UntilConfig) -> None:
        self.patience, self.min_delta = settings.patience, settings.min_delta
        self.rewards: deque[float | None] = deque(maxlen=self.patience)
        self.step, self.best, self.best_step = 0, -float("inf"), 0

    def update(self, reward: float | None) -> None:
        """Count a step with this mean reward over its scored completions; None if there were none."""
        self.step += 1
        self.rewards.append(reward)
        scored = [value for value in self.rewards if value is not None]
        if self.step < self.patience:
            return
        mean = sum(scored) / len(scored) if scored else -float("inf")
        if self.step == self.patience or mean > self.best + self.min_delta:
            self.best, self.best_step = mean, self.step

    @property
    def reached(self) -> bool:
        """Whether the training should end after this step."""
        return self.step - self.best_step >= self.patience and self.best_step > 0

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON values."""
        best = None if self.best == -float("inf") else self.best
        return {"rewards": list(self.rewards), "step": self.step, "best": best, "best_step": self.best_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.rewards = deque(state["rewards"], maxlen=self.patience)
        self.step, self.best_step = state["step"], state["best_step"]
        self.best = -float("inf") if state["best"] is None else state["best"]
