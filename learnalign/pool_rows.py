"""The rows of a pool as prompts: what is asked, golds and ids; duplicates and what cannot be used are left out, with the reason."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from learnalign.columns import (
    REGEX_SECONDS,
    LeaveOut,
    Messages,
    OutOfTime,
    answer_of,
    check_chosen,
    in_quotes,
    lookup,
    messages_of,
    own_id,
    scalar_text,
    solution_of,
    unicode,
)
from learnalign.config import DataConfig
from learnalign.errors import InputError, counted, listed_briefly, short
from learnalign.rundir import Quarantined
from learnalign.rundir.files import as_json
from learnalign.scored import MARK, is_scored, original
from learnalign.sources import SourceRow, read_rows

_NUMBER = re.compile(
    r"(?P<math>\$?)(?P<value>[+-]?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:e[+-][0-9]{1,3})?)(?P=math)"
)
TAKEN, NO_ID = "its id is that of row", "no id in column"  # begin reasons to leave a row out


@dataclass(frozen=True)
class Prompt:
    """One question with its gold answer; `row` counts the input's rows from 0, `source` is that row's JSON.

    `line` is where it begins in a file of lines, from 1; it is known when the pool is read, and not stored.
    """

    id: str
    row: int
    messages: Messages
    answer: str
    solution: str | None
    source: str
    line: int | None = field(default=None, compare=False)

    def left_out(self, reason: str) -> Quarantined:
        """The line of quarantine.jsonl for it."""
        return Quarantined(id=self.id, row=self.row, line=self.line, reason=reason)


def read_prompts(data: DataConfig) -> tuple[Rows, int]:
    rows = Rows()
    columns: set[str] = set()
    count = out_of_time = 0
    for row, given in enumerate(read_rows(data)):
        count = row + 1
        source = json.loads(given.text)
        columns |= source.keys()
        try:
            rows.add(_to_prompt(source, given, row, data), scored=is_scored(source))
        except LeaveOut as reason:
            rows.left_out.append(Quarantined(id=own_id(source, data), row=row, line=given.line, reason=str(reason)))
            out_of_time += isinstance(reason, OutOfTime)
        if out_of_time >= (_MOST_OUT_OF_TIME if rows.prompts else _MOST_OUT_OF_TIME_AT_FIRST):
            raise InputError(
                f"data.path {data.path}: on {out_of_time} of its first {counted(count, 'row')}, a regular expression takes more than "
                f"{REGEX_SECONDS:g} s ({rows.left_out[-1].reason}); give one without repeats inside repeats"
            )
    _check_columns(data, columns, rows, count)
    rows.leave_out_conflicts()
    return rows, count


# Rows on which a regular expression runs out of time until the pool is refused; fewer if no row has become a prompt yet.
_MOST_OUT_OF_TIME, _MOST_OUT_OF_TIME_AT_FIRST = 100, 5


class Rows:
    """The rows read so far: different prompts by id, and the rows left out, duplicates among them."""

    def __init__(self) -> None:
        self.prompts: dict[str, Prompt] = {}
        self.left_out: list[Quarantined] = []
        self.scored: set[str] = set()  # ids of those that are read as they were scored
        self._ids: dict[str, str] = {}  # of the first prompt with the question, by the question's digest
        self._answers: dict[str, set[str]] = {}  # of a prompt whose duplicates have other answers

    def add(self, prompt: Prompt, scored: bool = False) -> None:
        """Keep a new prompt; leave out a duplicate, or a prompt whose id is taken."""
        question = question_digest(prompt.messages)
        first = self.prompts.get(self._ids.setdefault(question, prompt.id))
        if first is None and prompt.id not in self.prompts:
            self.prompts[prompt.id] = prompt
            if scored:
                self.scored.add(prompt.id)
        elif first is None or question_digest(first.messages) != question:
            reason = f"{TAKEN} {self.prompts[prompt.id].row}, another prompt"
            self.left_out.append(prompt.left_out(reason))
        else:
            self.left_out.append(prompt.left_out(f"duplicate of row {first.row}"))
            if _value(prompt.answer) != _value(first.answer):
                self._answers.setdefault(first.id, {first.answer}).add(prompt.answer)

    def leave_out_conflicts(self) -> None:
        """Leave out prompts whose duplicates have other answers."""
        for id, answers in self._answers.items():
            reason = f"conflicting answers of its duplicates: {listed_briefly(map(short, sorted(answers)))}"
            self.left_out.append(self.prompts.pop(id).left_out(reason))


def _to_prompt(source: dict[str, Any], given: SourceRow, row: int, data: DataConfig) -> Prompt:
    if given.fault is not None:
        raise LeaveOut(given.fault)
    if is_scored(source):
        own, as_scored = original(source), DataConfig(path=data.path, id="id")
        prompt = _to_prompt({**source, MARK: None}, given._replace(text=as_json(own)), row, as_scored)
        return replace(prompt, solution=solution_of(own, data))
    check_chosen(source, data)
    messages, answer = messages_of(source, data), answer_of(source, data)
    id = lookup(source, data.id) if data.id else question_digest(messages)
    if id is None or id == "":
        raise LeaveOut(f"{NO_ID} {short(data.id)}")
    return Prompt(
        unicode(scalar_text(id, f"the id in column {short(data.id)}"), "id"),
        row,
        messages,
        answer,
        solution_of(source, data),
        given.text,
        given.line,
    )


def _check_columns(data: DataConfig, columns: set[str], rows: Rows, count: int) -> None:
    if not count:
        raise InputError(f"data.path {data.path}: it has no rows")
    for key, column in _named(data, rows):
        if column and columns and column not in columns and column.split(".")[0] not in columns:
            way = f"Name the right one with --set data.{key}=COLUMN (dots reach into nested columns)"
            if key == "where" or (key == "answer" and isinstance(data.answer, list)):
                way = f"Correct data.{key} (dots reach into nested columns), or leave it out there"
            raise InputError(
                f"data.{key}: no column {column!r} in {data.path}; it has {listed_briefly(map(short, sorted(columns)))}. "
                f"{way}{in_quotes(key, columns)}"
            )
    if rows.prompts:
        return
    first = rows.left_out[0]
    place = f"row {first.row}" if first.line is None else f"row {first.row} (line {first.line})"
    raise InputError(f"data.path {data.path}: none of {counted(count, 'row')} can be used; {place}: {first.reason}")


def _named(data: DataConfig, rows: Rows) -> list[tuple[str, str | None]]:
    """The columns that a row must have, with their keys; if there are prompts, those that they can lack unnoticed."""
    several: list[tuple[str, str | None]] = [("where", column) for column in data.where or ()]
    if isinstance(data.answer, list):
        several += [("answer", column) for column in data.answer]
    if rows.prompts:
        return [] if rows.scored else several
    question = None if data.prompt_template else data.prompt
    return [("prompt", question), *[("answer", column) for column in data.answers], ("id", data.id), *several]


def question_digest(messages: Messages) -> str:
    """A digest of what is asked; white space around a message makes no other question."""
    asked = [{**message, "content": message["content"].strip()} for message in messages]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:16]


def _value(answer: str) -> Decimal | str:
    """A plain number by its value (4, 4.0 and $4.00$ are the same gold), any other answer by its text."""
    number = _NUMBER.fullmatch(answer)
    return Decimal(number["value"]) if number else answer
