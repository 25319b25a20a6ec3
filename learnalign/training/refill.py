"""Dynamic sampling (DAPO): groups whose rewards have no spread are replaced before TRL sees the step's batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from learnalign.curriculum import Curriculum
from learnalign.training.rewards import Rewards

if TYPE_CHECKING:
    from learnalign.training.library import GRPOTrainer as Base  # TRL's RLOOTrainer has the same methods
else:
    Base = object


@dataclass(frozen=True)
class Group:
    """The G completions of one prompt: their input rows, what TRL's `_generate` returned for them, their rewards."""

    inputs: list[dict[str, Any]]
    generated: tuple[Any, ...]
    rewards: list[float | None]

    @property
    def scored(self) -> list[float]:
        """Rewards of the completions that could be scored."""
        return [reward for reward in self.rewards if reward is not None]

    @property
    def has_spread(self) -> bool:
        """Whether any two scored rewards differ, so that some advantage is not 0."""
        return len(set(self.scored)) > 1


class Refill(Base):
    """Put before a trainer of TRL's: it gets batches that are sampled and rewarded already, of groups with spread."""

    curriculum: Curriculum
    rewards: Rewards
    generations: int
    _filled: list[Group] | None = None

    def _with_spread(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The input rows of a full batch: groups with spread, then, if all redraws are used, the last others."""
        size = len(inputs) // self.generations
        kept: list[Group] = []
        for left in range(self.curriculum.redraws, -1, -1):
            groups = self._sample(inputs)
            kept += [group for group in groups if group.has_spread]
            missing = size - len(kept)
            if not missing or not left:
                break
            rows = self.curriculum.draw(missing)
            inputs = [self.train_dataset[row] for row in rows for _ in range(self.generations)]  # type: ignore[index]
        others = [group for group in groups if not group.has_spread]
        self._filled = kept + others[:missing]
        return [row for group in self._filled for row in group.inputs]

    def _sample(self, inputs: list[dict[str, Any]]) -> list[Group]:
        """Sample and score completions of `inputs`, each prompt's in a row."""
        generated = super()._generate([row["prompt"] for row in inputs])
        rewards = self.rewards(completion_ids=generated[1], index=[row["index"] for row in inputs])
        bounds = [slice(start, start + self.generations) for start in range(0, len(inputs), self.generations)]
        return [Group(inputs[part], _part(generated, part), rewards[part]) for part in bounds]

    def _generate(self, prompts: list[Any]) -> Any:
        return super()._generate(prompts) if self._filled is None else _joined([g.generated for g in self._filled])

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        if self._filled is None:
            return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        rewards = [reward for group in self._filled for reward in group.rewards]
        values = [float("nan") if reward is None else reward for reward in rewards]  # as TRL marks unscorable ones
        return torch.tensor(values, dtype=torch.float32, device=self.accelerator.device)[:, None]

    def _success_rates(self, count: int) -> list[float | None]:
        """Success rates of the finished batch's `count` groups."""
        filled, self._filled = self._filled, None
        if filled is None:
            return self.rewards.success_rates(count)
        return [float(np.mean(group.scored)) if group.scored else None for group in filled]


def _part(generated: Sequence[Any], part: slice) -> tuple[Any, ...]:
    """One group's share of what `_generate` returned: lists have an entry per completion, the rest is common."""
    return tuple(piece[part] if isinstance(piece, list) else piece for piece in generated)


def _joined(groups: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(
        [entry for piece in pieces for entry in piece] if isinstance(pieces[0], list) else pieces[0]
        for pieces in zip(*groups, strict=True)
    )
