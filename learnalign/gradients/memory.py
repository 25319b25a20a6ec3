"""How many tokens a batch may hold: given, measured on a GPU, estimated on a CPU, and halved where memory runs out after all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

CPU_TOKENS = 2048  # more are not faster on a CPU
GPU_TOKENS = 1 << 16
SHARE = {"cpu": 0.25, "cuda": 0.75}  # of the free memory that a batch may take


class Budget:
    """Tokens of one batch, padding included; `tokens` is None until the first batch on a GPU has been measured."""

    def __init__(self, setting: int | Literal["auto"], device: torch.device, bytes_per_token: int) -> None:
        self._device = device
        self.tokens: int | None = None if setting == "auto" else setting
        if setting == "auto" and device.type == "cpu":
            free = available_memory()
            fitting = CPU_TOKENS if free is None else int(SHARE["cpu"] * free / bytes_per_token)
            self.tokens = max(1, min(CPU_TOKENS, fitting))

    def measure(self, tokens: int, work: Callable[[], None]) -> None:
        """Do `work`, a batch of `tokens`, and set the budget by the memory it took. The one wait for the device."""
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        work()
        taken = max(1, torch.cuda.max_memory_allocated(self._device) - before)
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        free = torch.cuda.mem_get_info(self._device)[0] + unused
        self.tokens = max(1, min(GPU_TOKENS, int(SHARE["cuda"] * free * tokens / taken)))

    def halve(self, tokens: int) -> None:
        """A batch of `tokens` ran out of memory: allow half of it, and give cached memory back."""
        self.tokens = max(1, tokens // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not get memory from the GPU or from the CPU's allocator."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def available_memory() -> int | None:
    """Bytes the system could still give; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
