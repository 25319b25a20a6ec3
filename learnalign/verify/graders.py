"""Other graders under the names that `verify --with` takes, as functions with verl's signature.

They show how often a trainer's own grader decides otherwise. Each is imported when its name is looked up in this
module, which a worker does before its first task, so that no completion is charged for an import.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from learnalign.errors import InputError

Grader = Callable[..., Any]
_PREFIX = f"{__name__}:"


def verifier_name(grader: str) -> str:
    """Return the verifier that calls `grader`; raises InputError if there is none of that name."""
    if grader not in GRADERS:
        raise InputError(f"--with {grader}: no such grader; use one of {', '.join(GRADERS)}, or --verifier")
    return _PREFIX + grader


def short_name(verifier: str) -> str:
    """Return a grader's own name for `verifier`, any other unchanged."""
    return verifier.removeprefix(_PREFIX)


def _math_verify() -> Grader:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own time limits are off
    configs = (LatexExtractionConfig(), ExprExtractionConfig())

    def grade(solution_str: str, ground_truth: str) -> float | None:
        text = ground_truth if "$" in ground_truth or r"\boxed" in ground_truth else f"${ground_truth}$"
        gold = parse(text, configs, parsing_timeout=None)
        if not gold:
            return None
        return float(verify(gold, parse(solution_str, configs, parsing_timeout=None), timeout_seconds=None))

    return grade


def _trl() -> Grader:
    from trl.rewards import accuracy_reward

    def grade(solution_str: str, ground_truth: str) -> float | None:
        reward: float | None = accuracy_reward([[{"role": "assistant", "content": solution_str}]], [ground_truth])[0]
        return reward

    return grade


def _verl() -> Grader:
    from verl.utils.reward_score import default_compute_score

    def grade(data_source: str | None, solution_str: str, ground_truth: str, extra_info: Any = None) -> Any:
        return default_compute_score(data_source or "lighteval/MATH", solution_str, ground_truth, extra_info)

    return grade


GRADERS: dict[str, Callable[[], Grader]] = {"verl": _verl, "trl": _trl, "math-verify": _math_verify}


def __getattr__(name: str) -> Grader:
    if name not in GRADERS:
        raise AttributeError(name)
    try:
        return GRADERS[name]()
    except ImportError as error:
        raise InputError(f"--with {name}: it cannot be imported ({error}); pip install {name}") from None
