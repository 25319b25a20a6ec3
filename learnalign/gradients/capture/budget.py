"""The tokens of a batch: as configured, or measured on a GPU and estimated on a CPU; halved if memory runs out after all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from learnalign.errors import counted
from learnalign.policy.memory import free_memory

CPU_TOKENS = 512  # larger batches leave the cache and are slower
GPU_TOKENS = 1 << 16
BATCHES = 32  # of a window
ROW_TOKENS = 4096  # of a row that shares its prompt: attention under a mask takes time and memory as the square of it
SHARE = {"cpu": 0.25, "cuda": 0.75}  # of the free memory that a batch may take


class Budget:
    """Tokens of one batch, padding included; `tokens` is None until the first batch on a GPU has been measured.

    `row_tokens` bounds the rows whose completions share their prompt; other rows may be longer.
    """

    def __init__(self, setting: int | Literal["auto"], device: torch.device, bytes_per_token: int) -> None:
        self._device = device
        self.tokens: int | None = None if setting == "auto" else setting
        self.row_tokens = ROW_TOKENS if setting == "auto" else min(setting, ROW_TOKENS)
        if setting == "auto" and device.type == "cpu":
            fitting = max(1, int(SHARE["cpu"] * free_memory(device) / bytes_per_token))
            self.tokens, self.row_tokens = min(CPU_TOKENS, fitting), min(ROW_TOKENS, fitting)

    @property
    def window(self) -> int:
        """Tokens to plan batches over, so that samples of nearly the same length are found; 0 where any few will do.

        On a CPU batches are small, and what a batch holds does not depend on which shards are left.
        """
        return BATCHES * (self.tokens or 0) if self._device.type == "cuda" else 0

    def measured(self, tokens: int, work: Callable[[], None]) -> None:
        """Do `work`, a batch of `tokens`. The first sets the budget by the memory it took: the only synchronisation with the device."""
        if self.tokens is not None:
            work()
            return
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        work()
        taken = max(1, torch.cuda.max_memory_allocated(self._device) - before)
        self.tokens = max(1, min(GPU_TOKENS, int(SHARE["cuda"] * free_memory(self._device) * tokens / taken)))

    def halve(self, tokens: int) -> None:
        """A batch of `tokens` ran out of memory: allow half of it."""
        self.tokens = max(1, min(self.tokens or tokens, tokens // 2))
        self.row_tokens = min(self.row_tokens, self.tokens)


def does_not_fit(tokens: int) -> str:
    """The message, with the ways out, for a batch that does not fit and cannot be made smaller."""
    return (
        f"the gradient of one prompt ({counted(tokens, 'token')}) does not fit in memory. Ways out: model.dtype: bfloat16; fewer layers, "
        "for example grad.modules: '*self_attn*'; shorter completions (rollout.max_completion_length); a larger device"
    )
