"""A row of the source by its columns: the question as messages, the gold answer, the worked solution."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Collection
from typing import Any

import regex

from learnalign.config import PLACE, DataConfig
from learnalign.errors import one_line, short
from learnalign.inputs import json_kind, parse_json
from learnalign.rundir.files import as_json
from learnalign.sources import BINARY

Messages = list[dict[str, str]]

REGEX_SECONDS = 1.0  # of CPU time, that a regular expression may take on one row


class LeaveOut(Exception):
    """A row that cannot be a prompt; the message is the reason."""


class OutOfTime(LeaveOut):
    """A regular expression takes too long on the row."""


def messages_of(source: dict[str, Any], data: DataConfig) -> Messages:
    """The system prompt and the question, with turns of the row's own before it if it has some."""
    value = _filled(source, data.prompt_template) if data.prompt_template else lookup(source, data.prompt)
    messages = (
        [{"role": "user", "content": unicode(value, "prompt")}] if isinstance(value, str) else _turns(value, data)
    )
    if not messages[-1]["content"].strip():
        raise LeaveOut("empty prompt")
    if messages[-1]["role"] != "user":
        raise LeaveOut(f"the last message is from the {one_line(messages[-1]['role'], 80)}, not from the user")
    if data.prompt_regex:
        messages[-1]["content"] = _cut(
            data.prompt_regex, messages[-1]["content"], f"data.prompt_regex, column {short(data.prompt)}"
        )
    if data.system_prompt and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": data.system_prompt}, *messages]
    return messages


def _turns(value: Any, data: DataConfig) -> Messages:
    """A list of messages, their content as text."""
    if not value:
        raise LeaveOut(f"no prompt in column {short(data.prompt)}")
    if not isinstance(value, list) or not all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str | list)
        for m in value
    ):
        what = f"is {_BINARY}" if is_binary(value) else "is neither text nor a list of messages with role and content"
        raise LeaveOut(f"the prompt in column {short(data.prompt)} {what}")
    return [{"role": unicode(m["role"], "prompt"), "content": text_of(m["content"])} for m in value]


def shaped_by(data: DataConfig) -> list[str]:
    """The settings by which prompts and golds are not what the rows hold."""
    keys = ("prompt_template", "prompt_regex", "answer_regex", "system_prompt", "few_shot")
    return [f"data.{key}" for key in keys if getattr(data, key)]


def text_of(content: Any) -> str:
    """The content of a message: a text, or parts of text, which are joined as chat templates join them."""
    if isinstance(content, str):
        return unicode(content, "prompt")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else part
        if kind != "text" or not isinstance(part.get("text"), str):
            raise LeaveOut(f"a message has content other than text (a part of type {short(kind)})")
    return unicode("".join(part["text"] for part in parts), "prompt")


def unicode(text: str, name: str) -> str:
    """`text`, if it can be written; half a surrogate pair cannot."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as error:
        raise LeaveOut(f"half a surrogate pair in the {name} ({text[error.start]!r})") from None
    return text


def check_chosen(source: dict[str, Any], data: DataConfig) -> None:
    """Raise LeaveOut for a row that `data.where` does not take."""
    for column, wanted in data.where.items() if data.where else ():
        value = lookup(source, column)
        if not _is_wanted(value, wanted):
            raise LeaveOut(f"not taken by data.where: {column} is {short(value, 60)}")


def _is_wanted(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return any(
            type(value) is type(one) and value == one for one in (wanted if isinstance(wanted, list) else [wanted])
        )
    kinds = str if isinstance(value, str) else (int, float)
    if isinstance(value, bool) or not all(isinstance(one, kinds) for one in (value, *wanted.values())):
        return False
    return ("from" not in wanted or wanted["from"] <= value) and ("to" not in wanted or value < wanted["to"])


def answer_of(source: dict[str, Any], data: DataConfig) -> str:
    """The gold answer, cut out by `answer_regex`; of several columns, the JSON object of those that are not null."""
    if isinstance(data.answer, list):
        return _answers_of(source, data.answer)
    value = lookup(source, data.answer)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value == "" or value == []:
        raise LeaveOut(f"no answer in column {short(data.answer)}")
    text = value if isinstance(value, str) else scalar_text(value, f"the answer in column {short(data.answer)}")
    answer = unicode(text.strip(), "answer")
    if data.answer_regex:
        answer = _cut(data.answer_regex, answer, f"data.answer_regex, column {short(data.answer)}")
    if not answer:
        raise LeaveOut(f"no answer in column {short(data.answer)}")
    return answer


def _answers_of(source: dict[str, Any], columns: list[str]) -> str:
    values = {column.rpartition(".")[2]: lookup(source, column) for column in columns}
    held = {name: value for name, value in values.items() if value is not None}
    if not held:
        raise LeaveOut(f"no answer in the columns {', '.join(map(repr, columns))}")
    return unicode(as_json(held), "answer")


def scalar_text(value: Any, name: str) -> str:
    """The text of a text, a number or a boolean (as JSON writes it); raises LeaveOut, which begins with `name`."""
    if isinstance(value, bool):
        return as_json(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise LeaveOut(f"{name} is {value}, not a finite number")
    if not isinstance(value, str | int | float):
        raise LeaveOut(f"{name} is {_BINARY if is_binary(value) else f'a {json_kind(value)}'}, not text or a number")
    return str(value)


_BINARY = "binary data that is not UTF-8"


def is_binary(value: Any) -> bool:
    """Whether a value is the JSON form of bytes that are not UTF-8."""
    return isinstance(value, dict) and value.keys() == {BINARY}


def solution_of(source: dict[str, Any], data: DataConfig) -> str | None:
    """The worked solution, if the row has one."""
    solution = lookup(source, data.solution) if data.solution else None
    return unicode(solution, "solution") if isinstance(solution, str) else None


def lookup(source: Any, column: str) -> Any:
    """The value at a dotted path, the whole name first; None if the row has no such column."""
    if isinstance(source, dict) and column in source:
        return source[column]
    for part in column.split("."):
        if isinstance(source, str) and source[:1] in "{[":  # a column that holds JSON
            try:
                source = parse_json(source)
            except ValueError:
                return None
        if isinstance(source, list) and re.fullmatch("[0-9]{1,9}", part) and int(part) < len(source):
            source = source[int(part)]
        elif isinstance(source, dict):
            source = source.get(part)
        else:
            return None
    return source


def own_id(source: dict[str, Any], data: DataConfig) -> str | None:
    """The id that a row that is left out has of its own, if it is one."""
    try:
        id = lookup(source, data.id) if data.id else None
        return None if id is None else unicode(scalar_text(id, "id"), "id")
    except LeaveOut:
        return None


def in_quotes(key: str, columns: Collection[str]) -> str:
    """How --set takes a name that YAML would read as something else, if there is one among the columns."""
    odd = next((name for name in sorted(columns) if not re.fullmatch(r"\w[\w .,/()+-]*(?<! )", name)), None)
    if odd is None:
        return ""
    return f"; one such as {short(odd)} in quotes: --set {shlex.quote(f'data.{key}={json.dumps(odd, ensure_ascii=False)}')}"


def _filled(source: dict[str, Any], template: str) -> str:
    """The template with every {column} replaced by its value; other braces stay."""

    def value(place: re.Match[str]) -> str:
        column = lookup(source, place[1])
        if column is None:
            raise LeaveOut(f"no column {short(place[1])} for data.prompt_template")
        if is_binary(column):
            raise LeaveOut(f"the column {short(place[1])} for data.prompt_template is {_BINARY}")
        return column if isinstance(column, str) else as_json(column)

    return PLACE.sub(value, template)


def _cut(pattern: str, text: str, name: str) -> str:
    try:
        match = regex.search(pattern, text, timeout=REGEX_SECONDS)
    except TimeoutError:
        raise OutOfTime(f"{name}: it takes more than {REGEX_SECONDS:g} s on this row") from None
    cut = match and (match.group(1) if match.re.groups else match.group())
    if cut is None:
        raise LeaveOut(f"{name}: nothing found")
    return str(cut).strip()
