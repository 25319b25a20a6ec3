"""The subset for the next tool: the chosen prompts as they were scored, in the format of a trainer, one file each.

`format` is the contract; `writing` makes files of rows; `about` says beside every file what it was chosen by; `exporting` writes a
subset again in another format. `trl` and `verl` also hold reward functions that judge as p was judged.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from learnalign.handoff.format import Chosen, Format
from learnalign.names import FORMATS, check_name

if TYPE_CHECKING:
    from learnalign.handoff.exporting import ExportResult, export

_HOMES = {"ExportResult": "exporting", "export": "exporting"}

__all__ = ["Chosen", "ExportResult", "Format", "export", "find_format"]


def find_format(name: str) -> Format:
    """The format of that name; raises InputError naming the known ones."""
    module = importlib.import_module(f"learnalign.handoff.{check_name('format', name, FORMATS).replace('-', '_')}")
    return module.FORMAT


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnalign.handoff' has no attribute {name!r}")
    return getattr(importlib.import_module(f"learnalign.handoff.{_HOMES[name]}"), name)
