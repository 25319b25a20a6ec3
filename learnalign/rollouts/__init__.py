"""Stage 3: sampled completions of every prompt, judged, and what their success rates are worth. Light to import."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learnalign.rollouts.engines.contract import Completion, Engine, Request, open_engine
    from learnalign.rollouts.groups import Rollout, load_rollouts
    from learnalign.rollouts.imports import ImportResult, import_rollouts
    from learnalign.rollouts.result import RolloutResult
    from learnalign.rollouts.stage import rollout
    from learnalign.rollouts.uncertainty import StabilityResult, stability

# Where each public name lives; imported on first use.
_HOMES = {
    "Completion": "engines.contract",
    "Engine": "engines.contract",
    "Request": "engines.contract",
    "open_engine": "engines.contract",
    "Rollout": "groups",
    "load_rollouts": "groups",
    "RolloutResult": "result",
    "rollout": "stage",
    "ImportResult": "imports",
    "import_rollouts": "imports",
    "StabilityResult": "uncertainty",
    "stability": "uncertainty",
}

__all__ = [
    "Completion",
    "Engine",
    "ImportResult",
    "Request",
    "Rollout",
    "RolloutResult",
    "StabilityResult",
    "import_rollouts",
    "load_rollouts",
    "open_engine",
    "rollout",
    "stability",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnalign.rollouts' has no attribute {name!r}")
    return getattr(importlib.import_module(f"learnalign.rollouts.{_HOMES[name]}"), name)
