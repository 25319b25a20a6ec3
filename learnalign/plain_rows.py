"""Rows without surprises as columns of prompts, many in one go; `pool_rows` makes the same of them one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from json.encoder import encode_basestring as as_text
from typing import Any

from learnalign.batches import Batch
from learnalign.columns import Messages
from learnalign.config import DataConfig
from learnalign.inputs import escaped
from learnalign.scored import MARK


def plain_columns(given: Batch, start: int, data: DataConfig) -> tuple[list[str], Sequence[Sequence[Any]]] | None:
    """The fields of the rows from row `start` on as columns, in one go; of the messages, the questions alone.

    None unless every row has a text as the question, texts or whole numbers as gold and id, and a text or null as the solution,
    in columns of their own that no setting changes.
    """
    rows = given.rows
    if given.faults or not takes_columns(data):
        return None
    assert isinstance(data.answer, str), "several columns are no column as it is"
    try:
        asked, golds = ([row[name] for row in rows] for name in (data.prompt, data.answer))
        solutions = [row[data.solution] for row in rows] if data.solution else [None] * len(rows)
        ids = [row[data.id] for row in rows] if data.id else None
    except KeyError:
        return None
    whole = {*map(type, golds), *map(type, ids or ())} <= {str, int}
    if not whole or {*map(type, asked)} != {str} or not {*map(type, solutions)} <= {str, type(None)}:
        return None
    golds = [str(gold).strip() for gold in golds]
    ids = ids and [str(id) for id in ids]
    empty = not all(golds) or not all(map(str.strip, asked)) or not all(ids or [True])
    if empty or any(MARK in row for row in rows):
        return None
    try:
        "".join([*asked, *golds, *(ids or ()), *filter(None, solutions)]).encode()
    except UnicodeEncodeError:
        return None
    questions = digests(asked, data.system_prompt)
    places = range(start, start + len(rows))
    lines: Sequence[int | None] = [None] * len(rows) if given.lines is None else given.lines
    return questions, (ids or questions, places, asked, golds, solutions, given.texts, lines)


def takes_columns(data: DataConfig) -> bool:
    """Whether question, gold, solution and id are taken from columns without a change."""
    changed = data.where or data.prompt_template or data.prompt_regex or data.answer_regex
    return not changed and isinstance(data.answer, str)


def system_turns(data: DataConfig) -> Messages:
    """What stands before every question."""
    return [{"role": "system", "content": data.system_prompt}] if data.system_prompt else []


def digests(asked: list[str], system_prompt: str | None) -> list[str]:
    """`question_digest` of several questions after the same system prompt."""
    system = f'{{"role": "system", "content": {as_text(system_prompt.strip())}}}, ' if system_prompt else ""
    begun = hashlib.sha256(f'[{system}{{"role": "user", "content": "'.encode())
    digests = []
    for text in escaped([text.strip() for text in asked]):
        digest = begun.copy()
        digest.update(f'{text}"}}]'.encode())
        digests.append(digest.hexdigest()[:16])
    return digests


def question_digest(messages: Messages) -> str:
    """A digest of what is asked; white space around a message makes no other question."""
    asked = [f'{{"role": {as_text(m["role"])}, "content": {as_text(m["content"].strip())}}}' for m in messages]
    return hashlib.sha256(f"[{', '.join(asked)}]".encode()).hexdigest()[:16]
