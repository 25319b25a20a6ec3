"""The pool: ids, golds, duplicates, quarantine. Writes prompts.parquet and the pool's part of quarantine.jsonl.

Every input row becomes either a prompt or a line of quarantine.jsonl, so that the counts add up to the input.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign.config import DataConfig
from learnalign.errors import InputError
from learnalign.policy import load_tokenizer, model_path, prompt_ids
from learnalign.rundir import Quarantined, RunDir
from learnalign.rundir.files import read_parquet, write_parquet
from learnalign.rundir.stages import digest_of
from learnalign.sources import local_source, read_rows
from learnalign.verify import open_verifier

if TYPE_CHECKING:
    import pyarrow as pa

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Prompt:
    """One question with its gold answer; `row` counts the input's rows from 0, `source` is that row's JSON."""

    id: str
    row: int
    messages: Messages
    answer: str
    solution: str | None
    source: str


class _LeaveOut(Exception):
    """A row that cannot be a prompt; the message is the reason."""


def load_prompts(run: RunDir) -> list[Prompt]:
    """The pool of a run, prepared first if need be; raises InputError if the source has changed since."""
    inputs = _digests(run)
    if run.is_finished("pool"):
        for name, digest in run.read_record()["inputs"].items():
            if name in inputs and inputs[name] != digest:
                raise InputError(
                    f"{name} {_names(run)[name]} has changed since {run.path} was made; put it back, choose a new run "
                    f"directory, or delete {run.path}"
                )
    else:
        run.record_inputs(inputs)
        _prepare(run)
    rows = read_parquet(run.prompts_file).to_pylist()
    return [Prompt(**row) for row in rows]


def read_pool(data: DataConfig) -> tuple[list[Prompt], list[Quarantined], int]:
    """Read a source: prompts (not yet checked with tokenizer and verifier), rows left out, the number of rows.

    Raises InputError for a source that is missing, empty, or has none of the columns that `data` names.
    """
    rows = _Rows()
    columns: set[str] = set()
    count = 0
    for row, text in enumerate(read_rows(data)):
        count = row + 1
        source = json.loads(text)
        columns |= source.keys()
        try:
            rows.add(_to_prompt(source, text, row, data))
        except _LeaveOut as reason:
            rows.left_out.append(Quarantined(row=row, reason=str(reason)))
    _check_columns(data, columns, rows, count)
    rows.leave_out_conflicts()
    return list(rows.prompts.values()), rows.left_out, count


class _Rows:
    """The rows read so far: different prompts by id, and the rows left out, duplicates among them."""

    def __init__(self) -> None:
        self.prompts: dict[str, Prompt] = {}
        self.left_out: list[Quarantined] = []
        self._ids: dict[str, str] = {}  # of the first prompt with the question, by the question's digest
        self._answers: dict[str, set[str]] = {}  # of a prompt whose duplicates have other answers

    def add(self, prompt: Prompt) -> None:
        """Keep a new prompt; leave out a duplicate, or a prompt whose id is taken."""
        question = _digest(prompt.messages)
        first = self.prompts.get(self._ids.setdefault(question, prompt.id))
        if first is None and prompt.id not in self.prompts:
            self.prompts[prompt.id] = prompt
        elif first is None or _digest(first.messages) != question:
            reason = f"its id is that of row {self.prompts[prompt.id].row}, another prompt"
            self.left_out.append(Quarantined(id=prompt.id, row=prompt.row, reason=reason))
        else:
            self.left_out.append(Quarantined(id=first.id, row=prompt.row, reason=f"duplicate of row {first.row}"))
            if prompt.answer != first.answer:
                self._answers.setdefault(first.id, {first.answer}).add(prompt.answer)

    def leave_out_conflicts(self) -> None:
        """Leave out prompts whose duplicates have other answers."""
        for id, answers in self._answers.items():
            reason = f"conflicting answers of its duplicates: {', '.join(map(repr, sorted(answers)))}"
            self.left_out.append(Quarantined(id=id, row=self.prompts.pop(id).row, reason=reason))


def reason_counts(left_out: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Lines of quarantine.jsonl by kind of reason (its words before the particulars)."""
    kinds = Counter(re.sub(r"( of row \d+| is that of row|: | \().*", "", line["reason"]) for line in left_out)
    return dict(kinds.most_common())


def _prepare(run: RunDir) -> None:
    with run.stage("pool") as record:
        prompts, left_out, count = read_pool(run.config.data)
        for check in (_too_long(run, prompts), _unusable_golds(run, prompts)):
            left_out += check
            left_out_ids = {entry.id for entry in check}
            prompts = [prompt for prompt in prompts if prompt.id not in left_out_ids]
        left_out.sort(key=lambda entry: entry.row or 0)
        if not prompts:
            kinds = reason_counts([{"reason": entry.reason} for entry in left_out])
            listed = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
            raise InputError(f"data.path {run.config.data.path}: none of {count} rows can be used ({listed})")
        run.quarantine("pool", left_out)
        write_parquet(run.prompts_file, _table(prompts), run.fingerprint("pool"))
        record.counts |= {"rows": count, "prompts": len(prompts), "left_out": len(left_out)}


def _to_prompt(source: dict[str, Any], text: str, row: int, data: DataConfig) -> Prompt:
    question = _filled(source, data.prompt_template) if data.prompt_template else _lookup(source, data.prompt)
    messages = _messages(question, data)
    answer = _answer(_lookup(source, data.answer), data)
    solution = _lookup(source, data.solution) if data.solution else None
    id = _lookup(source, data.id) if data.id else _digest(messages)
    if id is None or isinstance(id, dict | list) or str(id) == "":
        raise _LeaveOut(f"no usable id in column {data.id}")
    return Prompt(str(id), row, messages, answer, solution if isinstance(solution, str) else None, text)


def _filled(source: dict[str, Any], template: str) -> str:
    """The template with every {column} replaced by its value; other braces stay."""

    def value(place: re.Match[str]) -> str:
        column = _lookup(source, place[1])
        if column is None:
            raise _LeaveOut(f"no column {place[1]} for data.prompt_template")
        return str(column)

    return re.sub(r"\{([A-Za-z_][\w.]*)\}", value, template)


def _lookup(source: Any, column: str) -> Any:
    """The value at a dotted path, the whole name first; None if the row has no such column."""
    if isinstance(source, dict) and column in source:
        return source[column]
    for part in column.split("."):
        if isinstance(source, str) and source[:1] in "{[":  # a column that holds JSON
            try:
                source = json.loads(source)
            except ValueError:
                return None
        if isinstance(source, list) and part.isdigit() and int(part) < len(source):
            source = source[int(part)]
        elif isinstance(source, dict):
            source = source.get(part)
        else:
            return None
    return source


def _messages(value: Any, data: DataConfig) -> Messages:
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not value:
        raise _LeaveOut(f"no prompt in column {data.prompt}")
    if not isinstance(value, list) or not all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value
    ):
        raise _LeaveOut(
            f"the prompt in column {data.prompt} is neither text nor a list of messages with role and content"
        )
    messages = [{"role": m["role"], "content": m["content"]} for m in value]
    if not messages[-1]["content"].strip():
        raise _LeaveOut("empty prompt")
    if messages[-1]["role"] != "user":
        raise _LeaveOut(f"the last message is from the {messages[-1]['role']}, not from the user")
    if data.prompt_regex:
        messages[-1]["content"] = _cut(data.prompt_regex, messages[-1]["content"], f"data.prompt_regex, {data.prompt}")
    if data.system_prompt and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": data.system_prompt}, *messages]
    return messages


def _answer(value: Any, data: DataConfig) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value == "" or value == []:
        raise _LeaveOut(f"no answer in column {data.answer}")
    if not isinstance(value, str | int | float):
        raise _LeaveOut(f"the answer in column {data.answer} is a {type(value).__name__}, not text or a number")
    answer = str(value).strip()
    if data.answer_regex:
        answer = _cut(data.answer_regex, answer, f"data.answer_regex, {data.answer}")
    if not answer:
        raise _LeaveOut(f"no answer in column {data.answer}")
    return answer


def _cut(regex: str, text: str, name: str) -> str:
    match = re.search(regex, text)
    if not match:
        raise _LeaveOut(f"{name}: nothing found")
    return (match.group(1) if match.re.groups else match.group()).strip()


def _check_columns(data: DataConfig, columns: set[str], rows: _Rows, count: int) -> None:
    if not count:
        raise InputError(f"data.path {data.path}: it has no rows")
    if rows.prompts:
        return
    question = None if data.prompt_template else data.prompt
    for key, column in (("prompt", question), ("answer", data.answer), ("id", data.id)):
        if column and column not in columns and column.split(".")[0] not in columns:
            raise InputError(
                f"data.{key}: no column {column!r} in {data.path}; it has {', '.join(sorted(columns))}. "
                f"Name the right one with --set data.{key}=COLUMN (dots reach into nested columns)"
            )
    raise InputError(f"data.path {data.path}: none of {count} rows can be used; row 0: {rows.left_out[0].reason}")


def _too_long(run: RunDir, prompts: Sequence[Prompt]) -> list[Quarantined]:
    tokenizer, limit = load_tokenizer(run.config), run.config.data.max_prompt_tokens
    lengths = [len(prompt_ids(tokenizer, prompt.messages)) for prompt in prompts]
    return [
        Quarantined(
            id=prompt.id, row=prompt.row, reason=f"too long: {length} tokens, data.max_prompt_tokens is {limit}"
        )
        for prompt, length in zip(prompts, lengths, strict=True)
        if length > limit
    ]


def _unusable_golds(run: RunDir, prompts: Sequence[Prompt]) -> list[Quarantined]:
    answers = sorted({prompt.answer for prompt in prompts})
    with open_verifier(run.config.verifier) as verifier:
        reasons = dict(zip(answers, verifier.check_golds(answers), strict=True))
    return [
        Quarantined(id=prompt.id, row=prompt.row, reason=f"unusable answer: {reason}")
        for prompt in prompts
        if (reason := reasons[prompt.answer])
    ]


def _table(prompts: Sequence[Prompt]) -> pa.Table:
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("row", pa.int64()),
            ("messages", pa.list_(message)),
            ("answer", pa.string()),
            ("solution", pa.string()),
            ("source", pa.string()),
        ]
    )
    return pa.Table.from_pylist([vars(prompt) for prompt in prompts], schema=schema)


def _names(run: RunDir) -> dict[str, str]:
    return {"data": run.config.data.path, "model": run.config.model.name, "adapter": str(run.config.model.adapter)}


def _digests(run: RunDir) -> dict[str, str]:
    """Digests of the run's local input files; hub names have none."""
    paths: dict[str, Path | None] = {"data": local_source(run.config.data), "model": Path(model_path(run.config))}
    if run.config.model.adapter:
        paths["adapter"] = Path(run.config.model.adapter).expanduser()
    return {name: digest_of(path) for name, path in paths.items() if path is not None and path.exists()}


def _digest(messages: Messages) -> str:
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode()).hexdigest()[:16]
