"""learnalign picks, out of a pool of RL prompts with checkable answers, the N most worth training a given policy on.

The stages are plain functions on a run directory: `warmup(run)`, `rollout(run)`, `grad(run)`, `select(run)`.
"""

import importlib

# typing's own, without the import: until `isolation` has run, a typing.py in the current directory would be loaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from learnalign.config import Config, load_config
    from learnalign.evaluation import evaluate, evaluate_curves
    from learnalign.gradients import grad
    from learnalign.rollouts import rollout
    from learnalign.rundir import RunDir
    from learnalign.selection import compare, gradient_norms, select
    from learnalign.signals import signal  # type: ignore[no-redef]  # its module has the same name
    from learnalign.training import train, warmup

# Where each public name lives; imported on first use, so that `import learnalign` stays light.
_HOMES = {
    "Config": "learnalign.config",
    "load_config": "learnalign.config",
    "RunDir": "learnalign.rundir",
    "warmup": "learnalign.training",
    "rollout": "learnalign.rollouts",
    "grad": "learnalign.gradients",
    "select": "learnalign.selection",
    "compare": "learnalign.selection",
    "gradient_norms": "learnalign.selection",
    "signal": "learnalign.signals",
    "train": "learnalign.training",
    "evaluate": "learnalign.evaluation",
    "evaluate_curves": "learnalign.evaluation",
}

__all__ = [
    "Config",
    "RunDir",
    "compare",
    "evaluate",
    "evaluate_curves",
    "grad",
    "gradient_norms",
    "load_config",
    "rollout",
    "select",
    "signal",
    "train",
    "warmup",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnalign' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
