"""CRUXEval's verifier: is the completion's answer the same Python literal as the gold?"""

from __future__ import annotations

import ast
import re
from typing import Any

from learnalign.verify.extract import find_boxes, last_tag

LONGEST = 10_000  # characters of a literal; longer ones are wrong
_ANSWER = re.compile(r"\[ANSWER\](.*?)\[/ANSWER\]", re.DOTALL)
_ESCAPES = re.compile(r"\\([{}_#%&$])")
_TEXT = re.compile(r"^\\text(?:tt|bf|rm)?\{(.*)\}$", re.DOTALL)


def literal(data_source: Any, solution_str: str, ground_truth: str, extra_info: Any = None) -> float:
    """1.0 where the completion ends in a literal equal to `ground_truth` as Python compares them, else 0.0 (verl's
    signature).

    The answer is what the last [ANSWER]…[/ANSWER], box or <answer> holds; of an assertion, what stands after its last
    `==`.
    """
    answer = find_answer(solution_str)
    return 0.0 if answer is None else float(same(answer, ground_truth))


def find_answer(completion: str) -> str | None:
    """The text of the completion's answer, None where it gives none."""
    tagged = _ANSWER.findall(completion)
    if tagged:
        text = tagged[-1]
    elif boxes := find_boxes(completion).contents:
        text = _unescaped(boxes[-1])
    else:
        text = last_tag(completion)
        if text is None:
            return None
    text = text.strip().strip("`").strip()
    return _asserted(text) if text.startswith("assert") else text


def _asserted(text: str) -> str:
    """What an assertion compares its call with."""
    try:
        statement = ast.parse(text[:LONGEST]).body[0]
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
        return ast.unparse(statement.test.comparators[-1])
    return text


def _unescaped(text: str) -> str:
    """LaTeX's text of a literal as plain text."""
    inner = _TEXT.match(text.strip())
    return _ESCAPES.sub(r"\1", inner[1] if inner else text)


def same(one: str, other: str) -> bool:
    """Whether two texts are equal literals; texts that are none are compared as they are."""
    try:
        return bool(_value(one) == _value(other))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return one == other


def _value(text: str) -> Any:
    if len(text) > LONGEST:
        raise ValueError("too long for a literal")
    return ast.literal_eval(text)
