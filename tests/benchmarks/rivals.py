"""Graders of verl and open-instruct as verifiers, loaded from a checkout: `tests.benchmarks.rivals:NAME`.

VERL and OPEN_INSTRUCT name the directories that hold the packages `verl` and `open_instruct`. The packages' own
`__init__` import the whole trainer, so that only the grading modules are loaded; what else these import is a stand-in.
Both need pylatexenc and sympy's parse_latex (antlr4-python3-runtime 4.11) on the path. A grader that says False is 0.0.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

STAND_INS = (
    "context_window_checker",
    "if_functions",
    "IFEvalG",
    "judge_utils",
    "rubrics",
    "rubrics.prompts",
    "rubrics.run_utils",
    "utils",
)


def _bare_package(name: str, folder: Path) -> None:
    """Make `name` importable without running its `__init__`."""
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules.setdefault(name, package)


@cache
def _verl(name: str) -> Any:
    folder = Path(os.environ["VERL"]) / "verl"
    for part in ("", ".utils", ".utils.reward_score"):
        _bare_package(f"verl{part}", folder.joinpath(*part.split(".")[1:]))
    module = importlib.import_module(f"verl.utils.reward_score.{name}")
    return module if name == "math_verify" else module.compute_score


@cache
def _open_instruct() -> Any:
    _bare_package("open_instruct", Path(os.environ["OPEN_INSTRUCT"]) / "open_instruct")
    for name in STAND_INS:
        sys.modules.setdefault(f"open_instruct.{name}", MagicMock())
    return importlib.import_module("open_instruct.ground_truth_utils").MathVerifier()


def _score(given: Any) -> float:
    """verl's graders return a number, a bool, a dict or a tuple that starts with one."""
    first = given["acc"] if isinstance(given, dict) else given[0] if isinstance(given, tuple | list) else given
    return float(first)


def verl_math_dapo(solution_str: str, ground_truth: str) -> float:
    return _score(_verl("math_dapo")(solution_str, ground_truth))


def verl_math_reward(solution_str: str, ground_truth: str) -> float:
    return _score(_verl("math_reward")(solution_str, ground_truth))


def verl_math_verify(solution_str: str, ground_truth: str) -> float:
    # Its compute_score starts a process pool, which could not import the bare package: the same work, called directly.
    return _score(_verl("math_verify")._verify_in_subprocess(rf"\boxed{{{ground_truth}}}", solution_str))


def verl_prime_math(solution_str: str, ground_truth: str) -> float:
    return _score(_verl("prime_math")(solution_str, ground_truth))


def open_instruct_math(solution_str: str, ground_truth: str) -> float:
    return float(_open_instruct()([], solution_str, ground_truth).score)
