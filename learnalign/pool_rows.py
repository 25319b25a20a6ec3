"""The rows of a pool as prompts: what is asked, golds and ids; duplicates and what cannot be used are left out, with the reason."""

from __future__ import annotations

import bisect
import contextlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

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
from learnalign.inputs import SourceRow
from learnalign.plain_rows import plain_columns, question_digest, system_turns
from learnalign.pool_readers import Group, read_groups
from learnalign.pool_table import FIELDS, ROWS, Fields, Packed, Prompts, group_of, packed, unpacked
from learnalign.rundir import Quarantined
from learnalign.rundir.files import as_json
from learnalign.scored import MARK, is_scored, original

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER = re.compile(
    r"(?P<math>\$?)(?P<value>[+-]?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:e[+-][0-9]{1,3})?)(?P=math)"
)
_KEYS = ["id", "row", "answer"]
TAKEN, NO_ID = "its id is that of row", "no id in column"  # begin reasons to leave a row out


def read_prompts(data: DataConfig) -> tuple[Prompts, Rows, int]:
    """The prompts of a source; its rows as they were read, those left out among them; and their number."""
    rows, columns, count = Rows(system_turns(data)), set[str](), 0
    with contextlib.closing(read_groups(data)) as every:
        for given in every:
            if isinstance(given, Group):
                columns.update(given.names)
                rows.add_group(given)
            else:
                columns.update(*given.rows)
                plain = plain_columns(given, count, data)
                if plain is None:
                    for row, one in enumerate(given, count):
                        rows.take(one, row, data)
                else:
                    rows.add_all(*plain)
            count += len(given)
    _check_columns(data, columns, rows, count)
    return rows.prompts(), rows, count


# Rows on which a regular expression runs out of time until the pool is refused; fewer if no row has become a prompt yet.
_MOST_OUT_OF_TIME, _MOST_OUT_OF_TIME_AT_FIRST = 100, 5


class Rows:
    """The rows read so far: different prompts, and the rows left out, duplicates among them."""

    def __init__(self, system: Messages) -> None:
        self._system = system
        self.left_out: list[Quarantined] = []
        self.scored: set[str] = set()  # ids of those that are read as they were scored
        self._groups: list[Callable[[], Packed]] = []  # of about ROWS prompts each, packed beside the reading
        self._packing = ThreadPoolExecutor(1)
        self._keys: list[pa.Table] = []  # id, row and gold of them
        self._starts: list[int] = []  # places of the groups' first prompts
        self._open: list[list[Any]] = [[] for _ in FIELDS]  # columns of the next group
        self._by_question: dict[str, int] = {}  # places of the prompts, by the question's digest
        self._by_id: dict[str, int] = {}  # of those whose id is not this digest
        self._out_of_time = 0
        self._answers: dict[int, set[str]] = {}  # by place, of prompts whose duplicates have other answers

    def __len__(self) -> int:
        return len(self._by_question)

    def take(self, given: SourceRow, row: int, data: DataConfig) -> None:
        """Add a row, or leave it out with the reason; raises InputError if a regular expression is too slow for many."""
        try:
            question, fields = _fields_of(given.row, given, row, data)
        except LeaveOut as reason:
            id = own_id(given.row, data)
            self.left_out.append(Quarantined(id=id, row=row, line=given.line or None, reason=str(reason)))
            self._out_of_time += isinstance(reason, OutOfTime)
            if self._out_of_time >= (_MOST_OUT_OF_TIME if len(self) else _MOST_OUT_OF_TIME_AT_FIRST):
                raise InputError(
                    f"data.path {data.path}: on {self._out_of_time} of its first {counted(row + 1, 'row')}, a regular expression takes "
                    f"more than {REGEX_SECONDS:g} s ({reason}); give one without repeats inside repeats"
                ) from None
        else:
            if self.add(question, fields) and is_scored(given.row):
                self.scored.add(fields[0])

    def add_all(self, questions: list[str], columns: Sequence[Sequence[Any]]) -> None:
        """`add` each of several rows."""
        if not self._are_new(questions, columns[0]):
            for question, fields in zip(questions, zip(*columns, strict=True), strict=True):
                self.add(question, fields)
            return
        for column, values in zip(self._open, columns, strict=True):
            column.extend(values)
        if len(self._open[0]) >= ROWS:
            self._close()

    def add_group(self, group: Group) -> None:
        """`add` each of the prompts of a group."""
        keys = unpacked(group.packed, _KEYS)
        if self._open[0]:
            self._close()
        start, content, ids = len(self), group.packed, keys["id"].to_pylist()
        questions = ids if group.questions is None else group.questions
        if self._are_new(questions, ids):
            self._keep(lambda: content, keys, start)
        else:
            table = unpacked(group.packed)
            columns = [table[name].to_pylist() for name in FIELDS]
            for question, fields in zip(questions, zip(*columns, strict=True), strict=True):
                self.add(question, fields)

    def _are_new(self, questions: Sequence[str], ids: Sequence[str]) -> bool:
        """Whether the next prompts have questions and ids that no other one has, which they then get; if not, each must be looked at."""
        own = ids if ids != questions else []
        named = {*questions, *own}
        old = not self._by_question.keys().isdisjoint(named) or not self._by_id.keys().isdisjoint(named)
        if old or len(named) < len(questions) + len(own):
            return False
        places = range(len(self), len(self) + len(questions))
        self._by_question.update(zip(questions, places, strict=True))
        self._by_id.update(zip(own, places, strict=False))
        return True

    def add(self, question: str, fields: Fields) -> bool:
        """Keep a new prompt; leave out a duplicate, by the `question`'s digest, or a prompt whose id is taken."""
        id = fields[0]
        if (place := self._by_question.get(question)) is not None:
            _, row, answer = self._kept(place)
            self._leave_out(fields, f"duplicate of row {row}")
            if _value(fields[3]) != _value(answer):
                self._answers.setdefault(place, {answer}).add(fields[3])
            return False
        if (place := self._by_id.get(id, self._by_question.get(id))) is not None and self._kept(place)[0] == id:
            self._leave_out(fields, f"{TAKEN} {self._kept(place)[1]}, another prompt")
            return False
        place = self._by_question[question] = len(self)
        if id != question:
            self._by_id[id] = place
        for column, value in zip(self._open, fields, strict=True):
            column.append(value)
        if len(self._open[0]) >= ROWS:
            self._close()
        return True

    def _close(self) -> None:
        group = group_of(self._open, self._system)
        self._keep(self._packing.submit(packed, group).result, group.select(_KEYS), len(self) - len(group))
        self._open = [[] for _ in FIELDS]

    def _keep(self, group: Callable[[], Packed], keys: pa.Table, start: int) -> None:
        self._groups.append(group)
        self._keys.append(keys)
        self._starts.append(start)

    def _leave_out(self, fields: Fields, reason: str) -> None:
        self.left_out.append(Quarantined(id=fields[0], row=fields[1], line=fields[6], reason=reason))

    def _kept(self, place: int) -> tuple[str, int, str]:
        """Id, row and gold of a prompt."""
        closed = len(self) - len(self._open[0])
        if place >= closed:
            ids, rows, _, golds, *_ = self._open
            return ids[place - closed], rows[place - closed], golds[place - closed]
        group = bisect.bisect(self._starts, place) - 1
        id, row, gold = (column[place - self._starts[group]].as_py() for column in self._keys[group].columns)
        return id, row, gold

    def prompts(self) -> Prompts:
        """The prompts, without those whose duplicates have other answers, which are left out; nothing can be added after that."""
        if self._open[0]:
            self._close()
        self._packing.shutdown()
        prompts = Prompts.of([group() for group in self._groups])
        conflicting = prompts.take(list(self._answers))
        for prompt, answers in zip(conflicting, self._answers.values(), strict=True):
            reason = f"conflicting answers of its duplicates: {listed_briefly(map(short, sorted(answers)))}"
            self.left_out.append(prompt.left_out(reason))
        return prompts.without(prompt.id for prompt in conflicting)


def _fields_of(source: dict[str, Any], given: SourceRow, row: int, data: DataConfig) -> tuple[str, Fields]:
    """The digest of a row's question, and the fields of its prompt."""
    if given.fault is not None:
        raise LeaveOut(given.fault)
    if is_scored(source):
        own, as_scored = original(source), DataConfig(path=data.path, id="id")
        question, fields = _fields_of({**source, MARK: None}, given._replace(text=as_json(own)), row, as_scored)
        return question, (*fields[:4], solution_of(own, data), *fields[5:])
    check_chosen(source, data)
    messages, answer = messages_of(source, data), answer_of(source, data)
    question = question_digest(messages)
    id = lookup(source, data.id) if data.id else question
    if id is None or id == "":
        raise LeaveOut(f"{NO_ID} {short(data.id)}")
    if data.id:
        id = unicode(scalar_text(id, f"the id in column {short(data.id)}"), "id")
    return question, (id, row, messages, answer, solution_of(source, data), given.text, given.line or None)


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
    if len(rows):
        return
    first = rows.left_out[0]
    place = f"row {first.row}" if first.line is None else f"row {first.row} (line {first.line})"
    raise InputError(f"data.path {data.path}: none of {counted(count, 'row')} can be used; {place}: {first.reason}")


def _named(data: DataConfig, rows: Rows) -> list[tuple[str, str | None]]:
    """The columns that a row must have, with their keys; if there are prompts, those that they can lack unnoticed."""
    several: list[tuple[str, str | None]] = [("where", column) for column in data.where or ()]
    if isinstance(data.answer, list):
        several += [("answer", column) for column in data.answer]
    if len(rows):
        return [] if rows.scored else several
    question = None if data.prompt_template else data.prompt
    return [("prompt", question), *[("answer", column) for column in data.answers], ("id", data.id), *several]


def _value(answer: str) -> Decimal | str:
    """A plain number by its value (4, 4.0 and $4.00$ are the same gold), any other answer by its text."""
    number = _NUMBER.fullmatch(answer)
    return Decimal(number["value"]) if number else answer
