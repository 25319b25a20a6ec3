"""Worked examples that every prompt shows before its question (`data.few_shot`); GAIN-RL's first segment, with the system
prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from learnalign.columns import LeaveOut, Messages, answer_of, messages_of, solution_of, text_of
from learnalign.config import DataConfig, Example
from learnalign.errors import InputError, counted
from learnalign.inputs import check_file, kind_of, local_path
from learnalign.sources import read_rows


def worked_examples(data: DataConfig, solved: Callable[[], Sequence[Example]]) -> list[Example]:
    """The examples of `data.few_shot`: those given, those of a file, or the first K of the pool's `solved` questions.

    Raises InputError for a file that cannot be read or has no example, and for a pool with fewer than K.
    """
    few_shot = data.few_shot
    if isinstance(few_shot, str):
        return _from_file(few_shot, data)
    if not isinstance(few_shot, int):
        return list(few_shot or ())
    if len(examples := solved()) < few_shot:
        column = f"a worked solution in column {data.solution!r}" if data.solution else "a gold answer"
        raise InputError(
            f"data.few_shot {few_shot}: {data.path} has only {counted(len(examples), 'usable row')} with {column}; ask for fewer, or "
            "give a file of worked examples"
        )
    return list(examples[:few_shot])


def show(examples: Sequence[Example], messages: Messages) -> Messages:
    """`messages` with the examples as turns of user and assistant, after a system message and before all else."""
    turns = [
        {"role": role, "content": content}
        for example in examples
        for role, content in (("user", example.question), ("assistant", example.answer))
    ]
    start = int(messages[0]["role"] == "system")
    return [*messages[:start], *turns, *messages[start:]]


def examples_file(name: str) -> Path:
    """The file of worked examples; raises InputError unless it is a JSON or JSONL file."""
    path = local_path(name, "data.few_shot")
    ways = "give a file of worked examples, or the number K of the pool's first rows to take"
    if kind_of(path) not in (".json", ".jsonl"):
        raise InputError(f"data.few_shot {name}: not a .json or .jsonl file; {ways}")
    try:
        check_file(path, "data.few_shot")
    except InputError as error:
        raise InputError(f"{error}; {ways}") from None
    return path


def _from_file(name: str, data: DataConfig) -> list[Example]:
    path = examples_file(name)
    rows = list(enumerate(read_rows(data.model_copy(update={"path": str(path), "limit": None}))))
    places = [f"{path}, row {number}" if not row.line else f"{path}, line {row.line}" for number, row in rows]
    examples = [
        example for (_, row), place in zip(rows, places, strict=True) for example in _examples(row.row, data, place)
    ]
    if not examples:
        raise InputError(f"data.few_shot {name}: it has no rows; give at least one worked example")
    return examples


def _examples(row: dict[str, Any], data: DataConfig, where: str) -> list[Example]:
    """The examples of one row: its `messages`, else by the pool's columns, else by `question` and `answer`."""
    if "messages" in row:
        return _pairs(row["messages"], where)
    for columns in (data, DataConfig(path=data.path, prompt="question", answer="answer")):
        try:
            question = messages_of(row, columns)[-1]["content"]
            return [Example(question=question, answer=solution_of(row, columns) or answer_of(row, columns))]
        except LeaveOut:
            continue
    raise InputError(
        f"data.few_shot {where}: no worked example; give it `messages` (user and assistant in turn), `question` and "
        f"`answer`, or the pool's columns ({data.prompt!r}, {data.solution or data.answer!r})"
    )


def _pairs(messages: Any, where: str) -> list[Example]:
    """Turns of user and assistant as examples."""
    roles = [m.get("role") if isinstance(m, dict) else None for m in messages] if isinstance(messages, list) else []
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise InputError(
            f"data.few_shot {where}: `messages` must be turns of user and assistant, in this order and text only (a "
            "system prompt belongs into data.system_prompt)"
        )
    try:
        texts = [text_of(m.get("content")) for m in messages]
    except LeaveOut as reason:
        raise InputError(f"data.few_shot {where}: {reason}") from None
    if not all(text.strip() for text in texts):
        raise InputError(f"data.few_shot {where}: a message has no text")
    return [Example(question=q, answer=a) for q, a in zip(texts[::2], texts[1::2], strict=True)]
