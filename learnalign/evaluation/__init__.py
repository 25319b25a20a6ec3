"""How good a policy is on a test set: pass@1, pass@k and avg@k with confidence intervals (`learnalign eval`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learnalign.evaluation.stage import EvalResult, evaluate
    from learnalign.evaluation.testset import evaluation_config

# Where each public name lives; imported on first use, so that `literal` can be used as a verifier at little cost.
_HOMES = {"EvalResult": "stage", "evaluate": "stage", "evaluation_config": "testset"}

__all__ = ["EvalResult", "evaluate", "evaluation_config"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnalign.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"learnalign.evaluation.{_HOMES[name]}"), name)
