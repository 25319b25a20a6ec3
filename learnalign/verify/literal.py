"""CRUXEval's verifier: is the completion's answer the same Python literal as the gold?"""

from __future__ import annotations

import ast
import re
from typing import Any

from learnalign.verify.extract import find_boxes, last_tag
from learnalign.verify.verdict import Verdict, correct, different

LONGEST = 10_000  # characters of a literal; longer ones are wrong
_OPEN, _CLOSE = "[ANSWER]", "[/ANSWER]"
_ESCAPES = re.compile(r"\\([{}_#%&$])")
_TEXT = re.compile(r"^\\text(?:tt|bf|rm)?\{(.*)\}$", re.DOTALL)


def find_answer(completion: str) -> str | None:
    """Return the text of the last [ANSWER]…[/ANSWER], else of the last box, else of the last <answer>; else None."""
    text = _last_answer(completion)
    if text is None and (boxes := find_boxes(completion).contents):
        text = _unescaped(boxes[-1])
    elif text is None:
        text = last_tag(completion)
    return None if text is None else text.strip().strip("`").strip()


def _last_answer(completion: str) -> str | None:
    text, end = None, 0
    while (start := completion.find(_OPEN, end)) >= 0 and (end := completion.find(_CLOSE, start)) >= 0:
        text = completion[start + len(_OPEN) : end]
    return text


def _unescaped(text: str) -> str:
    """Turn LaTeX text into plain text."""
    inner = _TEXT.match(text.strip())
    return _ESCAPES.sub(r"\1", inner[1] if inner else text)


def judge_literal(answer: str, text: str) -> Verdict:
    """Judge whether `text`, or the last side of its assertion, equals the gold `answer` as Python literals.

    Runs in a worker process: nothing is evaluated, but Python's parser can overflow the C stack on a hostile text.
    """
    stated = _asserted(text) if text.startswith("assert") else text
    return correct(stated) if same(stated, answer) else different(stated, answer)


def _asserted(text: str) -> str:
    """Return the last side of the comparison that `text` asserts; `text` itself if it asserts none."""
    try:
        statement = ast.parse(text[:LONGEST]).body[0]
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
        return ast.unparse(statement.test.comparators[-1])
    return text


def same(one: str, other: str) -> bool:
    """Whether two texts are equal literals; if either is not a literal, whether they are the same text."""
    try:
        return bool(_value(one) == _value(other))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return one == other


def _value(text: str) -> Any:
    if len(text) > LONGEST:
        raise ValueError("too long for a literal")
    return ast.literal_eval(text)
