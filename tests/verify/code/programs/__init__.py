"""Two hundred right and two hundred subtly wrong programs, as completions with golds of every row shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.verify.code.programs import functions, printed
from tests.verify.code.programs.task import Program, Task

TASKS: tuple[Task, ...] = (*functions.TASKS, *printed.TASKS)


class Case(NamedTuple):
    """A completion with its gold, and the reward that is right."""

    name: str
    completion: str
    gold: str
    reward: float


def cases() -> Iterator[Case]:
    """Every program, in the row shapes of its task in turn."""
    for task in TASKS:
        shapes = _shapes(task)
        for number, program in enumerate(task.all_programs()):
            shape = list(shapes)[number % len(shapes)]
            text, gold = shapes[shape](task, program)
            completion = f"Here it is:\n\n```{program.language}\n{text.strip()}\n```\n"
            name = f"{task.name}, {program.mistake or f'right {number + 1}'} ({shape}, {program.language})"
            yield Case(name, completion, json.dumps(gold), float(not program.mistake))


Shape = Callable[[Task, Program], tuple[str, dict[str, Any] | list[Any]]]


def _shapes(task: Task) -> dict[str, Shape]:
    if task.comparison != "lines":
        return {"plain": _plain}
    if task.printed:
        by_tokens = {"Codeforces": _codeforces, "CodeContests": _code_contests} if task.by_tokens else {}
        shapes: dict[str, Shape] = {"plain": _plain, "APPS": _apps, "LiveCodeBench": _livecodebench, **by_tokens}
    else:
        shapes = {"plain": _plain, "asserts": _asserts, "MBPP": _mbpp, "HumanEval": _humaneval}
        shapes |= {"TACO": _taco_method, "LiveCodeBench": _livecodebench_method}
    if task.seconds is not None:  # only these have a place for it
        shapes = {name: shape for name, shape in shapes.items() if name in ("plain", "asserts", "Codeforces")}
    return shapes


def _plain(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    if task.printed:
        tests = [{"stdin": given, "stdout": f"{right}\n"} for given, right in _pairs(task)]
        rest: dict[str, Any] = {"comparison": task.comparison}
    else:
        tests = [{"call": given, "value": right} for given, right in _pairs(task)]
        rest = {"entry_point": task.name}
    return program.source, {"tests": tests, **rest, **_seconds(task)}


def _asserts(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    return program.source, {"entry_point": task.name, "tests": _assertions(task, task.name), **_seconds(task)}


def _mbpp(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    return program.source, {"test_list": _assertions(task, task.name), "test_setup_code": "", "challenge_test_list": []}


def _humaneval(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    body = "\n".join("    " + line for line in _assertions(task, "candidate"))
    test = f"\n\nMETADATA = {{}}\n\n\ndef check(candidate):\n{body}\n"
    prompt = f'def {task.name}(*args):\n    """Solve it."""\n'
    return program.source, {"prompt": prompt, "entry_point": task.name, "test": test}


def _taco_method(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    inputs, outputs = zip(*_pairs(task), strict=True)
    tests = {"fn_name": task.name, "inputs": list(inputs), "outputs": list(outputs)}
    return _as_method(task, program), {"input_output": json.dumps(tests)}


def _livecodebench_method(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    tests = [
        {"input": "\n".join(map(json.dumps, given)), "output": json.dumps(right), "testtype": "functional"}
        for given, right in _pairs(task)
    ]
    metadata = json.dumps({"func_name": task.name})
    return _as_method(task, program), {"public_test_cases": json.dumps(tests), "metadata": metadata}


def _as_method(task: Task, program: Program) -> str:
    return (
        f"{program.source}\n\nclass Solution:\n    def {task.name}(self, *args):\n        return {task.name}(*args)\n"
    )


def _apps(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    inputs, outputs = zip(*_pairs(task), strict=True)
    return program.source, {"input_output": json.dumps({"inputs": list(inputs), "outputs": list(outputs)})}


def _livecodebench(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    tests = [{"input": given, "output": right, "testtype": "stdin"} for given, right in _pairs(task)]
    return program.source, {"public_test_cases": json.dumps(tests), "private_test_cases": "[]"}


def _codeforces(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    tests = [{"input": given, "output": right} for given, right in _pairs(task)]
    limits = {"time_limit": task.seconds or 2.0, "memory_limit": 256.0, "input_mode": "stdio"}
    return program.source, {"official_tests": tests, **limits}


def _code_contests(task: Task, program: Program) -> tuple[str, dict[str, Any]]:
    inputs, outputs = zip(*_pairs(task), strict=True)
    tests = {"input": list(inputs), "output": list(outputs)}
    return program.source, {"public_tests": tests, "private_tests": {"input": [], "output": []}}


def _pairs(task: Task) -> list[tuple[Any, Any]]:
    return list(zip(task.inputs, task.expected(), strict=True))


def _assertions(task: Task, name: str) -> list[str]:
    return [f"assert {name}({', '.join(map(repr, given))}) == {right!r}" for given, right in _pairs(task)]


def _seconds(task: Task) -> dict[str, Any]:
    return {} if task.seconds is None else {"seconds": task.seconds}
