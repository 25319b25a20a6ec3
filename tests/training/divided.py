"""`learnalign`, with FSDP also on a CPU: torch divides models there, but accelerate's state knows FSDP on accelerators only."""

from __future__ import annotations

from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from learnalign_cli.__main__ import main

_begin = AcceleratorState.__init__


def _with_fsdp(self: Any, *arguments: Any, **options: Any) -> None:
    _begin(self, *arguments, **options)
    plugin = options.get("fsdp_plugin")
    if plugin is not None:
        if self._mixed_precision != "no":
            plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin, self.distributed_type = plugin, DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP


if __name__ == "__main__":
    AcceleratorState.__init__ = _with_fsdp  # type: ignore[method-assign]
    main()
