"""GRPO on policy: advantages and the gradient's coefficients (LearnAlign, Eq. 1 and 7)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-4  # added to the standard deviation, as TRL does


@dataclass(frozen=True)
class UsedRollout:
    """A rollout whose gradient is taken: its completion (closing EOS included), its advantage Â within its group, and log π_ref of
    its tokens if β counts (on the CPU)."""

    token_ids: Sequence[int]
    advantage: float
    reference: Float[Tensor, "tokens"] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Sample:
    """A prompt and the rollouts R whose gradients are averaged: ∇J = 1/|R| Σ_o 1/|o| Σ_t c_{o,t} ∇ log π(o_t)."""

    id: str
    prompt_ids: Sequence[int]
    rollouts: Sequence[UsedRollout]


def advantages(rewards: Sequence[float | None]) -> list[float | None]:
    """Â = (r − mean) / (std + 1e-4) with the sample standard deviation (divisor G − 1) over the scored rollouts; None stays None."""
    scored = [reward for reward in rewards if reward is not None]
    if not scored:
        return [None] * len(rewards)
    mean = statistics.fmean(scored)
    deviation = statistics.stdev(scored) if len(scored) > 1 else 0.0
    return [None if reward is None else (reward - mean) / (deviation + EPSILON) for reward in rewards]


def used_rollouts(rewards: Sequence[float | None], which: str) -> list[int]:
    """Positions (in order of sample index) of the rollouts whose gradients are taken; may be empty.

    "one-correct": the first correct one; "all": all scored ones.
    """
    if which == "all":
        return [i for i, reward in enumerate(rewards) if reward is not None]
    return [i for i, reward in enumerate(rewards) if reward == 1.0][:1]


def coefficients(
    advantage: Float[Tensor, "N"], log_probs: Float[Tensor, "N"], reference: Float[Tensor, "N"] | None, beta: float
) -> Float[Tensor, "N"]:
    """c = Â + β(π_ref/π_θ − 1) of every sampled token, a constant in the gradient (Eq. 7)."""
    if reference is None or beta == 0.0:
        return advantage
    return advantage + beta * torch.expm1(reference - log_probs)
