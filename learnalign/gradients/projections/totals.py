"""The features of a batch, summed on each device that has layers of the model, and gathered on one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class Totals:
    """Sums of shape [rows, dim] that begin at zero; `device` is where they are gathered."""

    def __init__(self, rows: int, dim: int, device: torch.device, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._sums: dict[torch.device, Tensor] = {device: torch.zeros(rows, dim, device=device, dtype=dtype)}
        self._device = device

    def on(self, device: torch.device) -> Float[Tensor, "rows dim"]:
        """The sum of what layers on `device` add, in place."""
        if device not in self._sums:
            self._sums[device] = torch.zeros_like(self._sums[self._device], device=device)
        return self._sums[device]

    def gathered(self) -> Float[Tensor, "rows dim"]:
        """The sum over all devices."""
        total = self._sums.pop(self._device)
        for part in self._sums.values():
            total += part.to(self._device)
        self._sums = {self._device: total}
        return total
