"""Which columns of a pool hold the question and the gold answer, and which verifier reads the golds: from its first rows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from learnalign.code_columns import code_columns
from learnalign.columns import LeaveOut, answer_of, lookup, messages_of
from learnalign.config import BOXED, HASHES, PLACE, PRESETS, DataConfig
from learnalign.errors import InputError
from learnalign.sources import read_rows
from learnalign.verify import open_verifier
from learnalign.verify.code import gold_reason

ROWS = 500  # looked at
_ENOUGH = 0.9  # of the rows, to be of a shape
_LONG = 200  # characters of what is rather a worked solution than a gold

Row = dict[str, Any]

# Shapes in the order in which they are tried, with columns of which one tells them from others with the same question and gold.
SHAPES: dict[str, tuple[str, ...]] = {
    "dapo": (),
    "verl": (),
    "gsm8k": (),
    "open-r1": ("problem_type", "uuid", "generations", "correctness_math_verify"),
    "deepscaler": (),
    "math": ("level", "type", "subject"),
    "numinamath": (),
    "openrlhf": (),
}
# Words of column names, the most telling first.
_QUESTION = ("prompt", "messages", "question", "problem", "instruction", "input", "query", "task", "text")
_GOLD = (
    *("ground_truth", "gold", "final_answer", "expected_answer", "answer", "label", "target", "result", "solution"),
    *("output", "response"),
)
_CONTEXT = ("body", "context", "passage", "story", "premise")
_ID = (
    "id",
    "uuid",
    "uid",
    "qid",
    "index",
    "idx",
)  # the last word of a name; `key` is one only alone: answer_key is a gold


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Keys of `data` and the verifier; `shape` is the preset's name, None for rows of no known shape.

    `others` are columns that might be meant instead, by key; `columns` all columns of the first rows.
    """

    shape: str | None
    data: dict[str, Any]
    verifier: str
    usable: float
    columns: list[str]
    others: dict[str, list[str]] = field(default_factory=dict)


def first_rows(data: DataConfig) -> list[Row]:
    """The first rows of a source; raises InputError if it has none."""
    usable = (row for row in read_rows(data) if row.fault is None)
    rows = [row.row for row in itertools.islice(usable, ROWS)]
    if not rows:
        raise InputError(f"data.path {data.path}: it has no rows")
    return rows


def guess(rows: Sequence[Row]) -> Guess:
    """The columns and the verifier of a pool with these first rows; raises InputError if no column can be a question or gold."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    code = code_columns(rows, _paths(rows), lambda path: _share(rows, {"prompt": path}, gold=False) >= _ENOUGH, _ENOUGH)
    if code is not None:
        return Guess(shape=None, data=code | _id(rows), verifier="code", usable=_share(rows, code), columns=columns)
    for shape, markers in SHAPES.items():
        data = PRESETS[shape].columns
        if (not markers or set(markers) & set(columns)) and _share(rows, data) >= _ENOUGH:
            verifier, usable = PRESETS[shape].verifier, _share(rows, data)
            return Guess(shape=shape, data=data | _id(rows), verifier=verifier, usable=usable, columns=columns)
    return _by_names(rows, columns)


def _by_names(rows: Sequence[Row], columns: list[str]) -> Guess:
    """The best columns by their names and values."""
    questions = _ranked(_paths(rows), _QUESTION, lambda path: _share(rows, {"prompt": path}, gold=False))
    golds = _ranked(_paths(rows), _GOLD, lambda path: _gold_share(rows, path))
    questions, golds = _apart(questions, golds)
    if not questions or not golds:
        what = "gold answer" if questions else "question"
        raise InputError(
            f"no column looks like the {what}: the columns are {', '.join(map(repr, columns))}; write a config of your own, with "
            "data.prompt and data.answer (`learnalign config data` explains them)"
        )
    prompt, answer = questions[0], golds[0]
    data: dict[str, Any] = {"prompt": prompt, "answer": answer, "answer_regex": cut_of(_texts(rows, answer))}
    context = [column for column in columns if column.strip().lower() in _CONTEXT]
    if context and all(PLACE.fullmatch(f"{{{path}}}") for path in (context[0], prompt)):
        data["prompt_template"] = f"{{{context[0]}}} {{{prompt}}}"
    if data["answer_regex"]:
        data["solution"] = answer
    elif solution := next((path for path in _paths(rows) if "solution" in path.lower() and path != answer), None):
        data["solution"] = solution
    return Guess(
        shape=None,
        data=data | _id(rows),
        verifier=_verifier(rows, data),
        usable=_share(rows, data),
        columns=columns,
        others={"prompt": questions[1:4], "answer": golds[1:4]},
    )


def cut_of(golds: Sequence[str]) -> str | None:
    """The regular expression that cuts the gold out of a worked solution; None if they are golds already."""
    for pattern, mark in (
        (HASHES, re.compile(r"####\s*\S")),
        (BOXED, re.compile(r"\S.*\\boxed\{|\\boxed\{.*\}.*\S", re.S)),
    ):
        if golds and sum(bool(mark.search(gold)) for gold in golds) >= _ENOUGH * len(golds):
            return pattern
    return None


def _paths(rows: Sequence[Row]) -> list[str]:
    """Columns, and dotted paths into those that hold objects (one level down)."""
    found: dict[str, None] = {}
    for row in rows[:50]:
        for column, value in row.items():
            found[column] = None
            for inner in value if isinstance(value, dict) else ():
                found[f"{column}.{inner}"] = None
    return list(found)


def _ranked(paths: list[str], words: tuple[str, ...], fits: Callable[[str], float]) -> list[str]:
    """The paths that fit at least half of the rows; first those with the most telling names."""

    def rank(path: str) -> int:
        name = re.sub(r"\W+", "_", path.rpartition(".")[2].lower()).strip("_")
        return next((place for place, word in enumerate(words) if word in name), len(words))

    kept = {path: share for path in paths if not _is_id(path) and (share := fits(path)) >= 0.5}
    return sorted(kept, key=lambda path: (rank(path), -kept[path]))


def _apart(questions: list[str], golds: list[str]) -> tuple[list[str], list[str]]:
    """Without the gold among the questions and the question among the golds: a name of the other kind tells which is meant."""
    prompt = questions[0] if questions else ""
    golds = [path for path in golds if path != prompt]
    return [path for path in questions if path not in golds[:1]], golds


def _share(rows: Sequence[Row], data: dict[str, Any], gold: bool = True) -> float:
    """How many of the rows have a question and, if asked for, a gold answer."""
    settings = DataConfig.model_validate({"path": "-", **data})
    good = 0
    for row in rows:
        try:
            messages_of(row, settings)
            good += bool(answer_of(row, settings)) if gold else True
        except LeaveOut:
            continue
    return good / len(rows)


def _texts(rows: Sequence[Row], path: str) -> list[str]:
    """The values at a path that can be golds, as texts."""
    settings, texts = DataConfig(path="-", answer=path), []
    for row in rows:
        try:
            texts.append(answer_of(row, settings))
        except LeaveOut:
            continue
    return texts


def _gold_share(rows: Sequence[Row], path: str) -> float:
    """How many rows have something like a gold there: short, or with a place where the gold stands."""
    texts = _texts(rows, path)
    if cut_of(texts):
        return len(texts) / len(rows)
    return sum(len(text) <= _LONG for text in texts) / len(rows)


def _id(rows: Sequence[Row]) -> dict[str, str]:
    """`id`: the column, or else the path into one, that is called one and has another value in every row."""

    def rank(path: str) -> tuple[int, int, int]:
        words = _words(path)
        return path.count("."), len(words), _ID.index(words[-1]) if words[-1] in _ID else len(_ID)

    ids = (path for path in sorted(filter(_is_id, _paths(rows)), key=rank) if _are_ids(rows, path))
    id = next(ids, None)
    return {} if id is None else {"id": id}


def _words(path: str) -> list[str]:
    """The words of a column's name: problem_id, problemId and "Problem ID" have the same."""
    name = path.rpartition(".")[2].strip()
    return re.split(r"[\W_]+", re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_"))


def _is_id(path: str) -> bool:
    words = _words(path)
    return words[-1] in _ID or words == ["key"]


def _are_ids(rows: Sequence[Row], path: str) -> bool:
    """Whether every row has a value of its own there."""
    values = [lookup(row, path) for row in rows]
    texts = {str(value) for value in values if isinstance(value, str | int) and value != ""}
    return len(texts) == len(rows)


def _verifier(rows: Sequence[Row], data: dict[str, Any]) -> str:
    """`math` if it can use most golds as they are cut, else `exact`."""
    settings, golds = DataConfig.model_validate({"path": "-", **data}), set()
    for row in rows[:100]:
        try:
            golds.add(answer_of(row, settings))
        except LeaveOut:
            continue
    usable = sum(reason is None for reason in gold_reasons("math", sorted(golds)))
    return "math" if usable >= 0.5 * len(golds) else "exact"


def gold_reasons(verifier: str, golds: Sequence[str]) -> list[str | None]:
    """None for each gold that the verifier can use, else the reason."""
    if verifier == "code":  # without a sandbox, which this machine may lack
        return [gold_reason(gold) for gold in golds]
    with open_verifier(verifier, workers=1) as opened:
        return opened.check_golds(golds)
