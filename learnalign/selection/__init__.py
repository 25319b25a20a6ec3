"""Stage 4: scores, rankings and the subset (LearnAlign §4.4, step 4), and every other method on the same files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learnalign.selection.columns import Share, shares
    from learnalign.selection.comparison import Comparison, compare
    from learnalign.selection.finished import is_chosen, options_of
    from learnalign.selection.norms import Norms, gradient_norms
    from learnalign.selection.result import SelectResult
    from learnalign.selection.stage import select

# Where each public name lives; imported on first use, so that `status` reads a stored stability without torch.
_HOMES = {
    "Comparison": "comparison",
    "Norms": "norms",
    "SelectResult": "result",
    "compare": "comparison",
    "gradient_norms": "norms",
    "select": "stage",
    "is_chosen": "finished",
    "options_of": "finished",
    "Share": "columns",
    "shares": "columns",
}

__all__ = [
    "Comparison",
    "Norms",
    "SelectResult",
    "Share",
    "compare",
    "gradient_norms",
    "is_chosen",
    "options_of",
    "select",
    "shares",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnalign.selection' has no attribute {name!r}")
    return getattr(importlib.import_module(f"learnalign.selection.{_HOMES[name]}"), name)
