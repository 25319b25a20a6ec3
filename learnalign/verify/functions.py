"""Users' own functions, with TRL's reward signature or verl's `compute_score`, unchanged.

    f(prompts, completions, **columns) -> list[float | None]                          TRL
    compute_score(data_source, solution_str, ground_truth, extra_info) -> float | dict   verl

A score of 1 or more is correct, anything less is wrong: partial credit is not success, and verl's -1 is a failure.
In a dict, `acc` decides, else `score`. None and NaN are unscorable, as in TRL. Either kind may be a coroutine function.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from learnalign.errors import InputError
from learnalign.verify.verdict import Verdict, shown

_SIGNATURES = (
    "TRL's f(prompts, completions, **columns) or "
    "verl's compute_score(data_source, solution_str, ground_truth, extra_info)"
)
# verl and TRL pass the gold by these names; any other parameter is a column of the pool's row.
_GOLD_NAMES = ("answer", "solution", "ground_truth")


def load_function(name: str) -> Callable[..., Verdict]:
    """Make a judge (completion, answer, messages, source) → Verdict from `name`, a `module:function`.

    Raises:
        InputError: there is no such module or function, or its signature is neither TRL's nor verl's.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"verifier {name!r}: no module {error.name!r}; run in the directory that contains it, "
            "install it, or put it on PYTHONPATH"
        ) from None
    except Exception as error:  # importing a user's module can raise anything
        raise InputError(
            f"verifier {name!r}: importing {module_name} failed: {type(error).__name__}: {error}"
        ) from None
    function: Any = module
    for part in function_name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        functions = sorted(
            key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")
        )
        raise InputError(
            f"verifier {name!r}: {module_name} has no function {function_name!r}; it has {', '.join(functions) or 'none'}"
        )
    return _judge_with(name, function)


def _judge_with(name: str, function: Callable[..., Any]) -> Callable[..., Verdict]:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        raise InputError(
            f"verifier {name!r}: its signature cannot be read; wrap it in a function with {_SIGNATURES}"
        ) from None
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if {"solution_str", "ground_truth"} <= parameters.keys():
        arguments, first = _verl_arguments, False
    elif "completions" in parameters or (takes_all and "solution_str" not in parameters):
        arguments, first = _trl_arguments, True
    else:
        raise InputError(
            f"verifier {name!r} has the parameters {', '.join(parameters) or 'none'}; it needs {_SIGNATURES}"
        )

    def judge(completion: str, answer: str, messages: list[Any] | None, source: dict[str, Any] | None) -> Verdict:
        passed = arguments(completion, answer, messages, source or {})
        result = function(**{key: value for key, value in passed.items() if takes_all or key in parameters})
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        return to_verdict(_only(result) if first else result)

    return judge


def _trl_arguments(completion: str, answer: str, messages: list[Any] | None, source: dict[str, Any]) -> dict[str, Any]:
    """The arguments from GRPOTrainer for a batch of one; if the prompt is a message list, so is the completion."""
    columns = {
        key: [value] for key, value in source.items() if key not in ("prompt", "prompts", "completion", "completions")
    }
    gold = {key: [answer] for key in _GOLD_NAMES}
    if messages is None:
        prompts: list[Any] = [source.get("prompt", "")]
        completions: list[Any] = [completion]
    else:
        prompts, completions = [messages], [[{"role": "assistant", "content": completion}]]
    trainer = {"trainer_state": None, "log_extra": lambda *_: None, "log_metric": lambda *_: None}
    return {**gold, **columns, **trainer, "prompts": prompts, "completions": completions}


def _verl_arguments(completion: str, answer: str, messages: list[Any] | None, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "data_source": source.get("data_source"),
        "solution_str": completion,
        "ground_truth": answer,
        "extra_info": source.get("extra_info"),
    }


def to_verdict(result: Any) -> Verdict:
    """Turn a user's score into a verdict; raises TypeError if it is not a score."""
    score, which = result, "score"
    if isinstance(result, Mapping):
        which = "acc" if "acc" in result else "score"
        if which not in result:
            raise TypeError(f"the function returned a dict with neither acc nor score: {shown(str(result))}")
        score = result[which]
    if hasattr(score, "item"):
        score = score.item()  # a numpy or torch scalar
    if score is None or (isinstance(score, float) and math.isnan(score)):
        return Verdict(None, f"the function gave no {which}")
    if not isinstance(score, int | float) or math.isinf(score):
        raise TypeError(f"the function returned {shown(repr(score))}, not a number, a dict with acc or score, or None")
    return Verdict(1.0 if score >= 1 else 0.0, f"{which} {float(score):g}")


def _only(result: Any) -> Any:
    if isinstance(result, str | Mapping) or not hasattr(result, "__len__") or len(result) != 1:
        raise TypeError(f"the function returned {shown(repr(result))} for one completion, not a list of one reward")
    return result[0]


async def _awaited(result: Any) -> Any:
    return await result
