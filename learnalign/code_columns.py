"""Which columns of a pool hold the tests of code tasks, and the question beside them: from its first rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from learnalign.columns import LeaveOut, answer_of
from learnalign.config import PLACE, DataConfig
from learnalign.verify.code import gold_reason

Row = dict[str, Any]

# Columns of tests as data sets hold them (learnalign/verify/code/README.md): the first one is there, of the others those that are.
_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("private_test_cases", "public_test_cases", "metadata"),
    ("official_tests", "time_limit", "memory_limit", "input_mode", "generated_checker", "interaction_format"),
    (
        *("public_tests", "private_tests", "generated_tests", "time_limit", "memory_limit_bytes"),
        *("input_file", "output_file"),
    ),
    ("input_output", "time_limit", "memory_limit"),
    ("verification_info",),
    ("test_list", "code", "test_imports", "test_setup_code", "test"),
    ("test", "prompt", "entry_point"),
    ("tests", "metadata", "entry_point", "setup", "prelude", "language", "comparison", "checker"),
    ("tests",),
    ("test_cases",),
    ("reward_model.ground_truth",),
    ("ground_truth",),
    ("gold",),
    ("answer",),
    ("label",),
)
_QUESTION = (
    "prompt",
    "messages",
    "question_content",
    "question",
    "problem",
    "description",
    "instruction",
    "statement",
    "text",
)
_STARTER = "starter_code"
_LOOKED_AT = 50  # rows; tests may be megabytes


def code_columns(
    rows: Sequence[Row], paths: Sequence[str], asks: Callable[[str], bool], enough: float
) -> dict[str, Any] | None:
    """Keys of `data` for code tasks: question and tests; None if fewer than the share `enough` of the rows hold tests.

    Args:
        paths: the columns, and dotted paths into them.
        asks: whether a path holds questions.
    """
    for names in _COLUMNS:
        if names[0] not in paths:
            continue
        there = [name for name in names if name in paths]
        # One column is named by itself if it holds text or a list, and as a list of one if it holds an object.
        ways: list[str | list[str]] = [there[0], there] if len(there) == 1 else [there]
        answer = next((way for way in ways if _share(rows[:_LOOKED_AT], way) >= enough), None)
        if answer is not None:
            free = [path for path in paths if path not in there or path == "prompt"]
            named = [path for word in _QUESTION for path in free if path == word]
            near = [path for word in _QUESTION for path in free if word in path.lower()]
            prompt = next(filter(asks, [*named, *near]), None)
            if prompt is None:
                return None
            data: dict[str, Any] = {"prompt": prompt, "answer": answer}
            if _STARTER in paths and PLACE.fullmatch(f"{{{prompt}}}"):
                data["prompt_template"] = f"{{{prompt}}}\n\n```python\n{{{_STARTER}}}\n```"
            return data
    return None


def _share(rows: Sequence[Row], answer: str | list[str]) -> float:
    """How many of the rows hold tests in these columns: objects or assertions, not a list that may be a value."""
    settings, good = DataConfig(path="-", answer=answer), 0
    for row in rows:
        try:
            gold = answer_of(row, settings)
        except LeaveOut:
            continue
        good += (gold.lstrip()[:1] == "{" or "assert" in gold or '{"' in gold) and gold_reason(gold) is None
    return good / len(rows)
