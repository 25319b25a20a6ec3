"""Rows decoded together are those decoded one by one, and so are the errors, whatever the lines hold."""

from __future__ import annotations

import itertools
import json
import random
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign import batches
from learnalign.batches import read_batches
from learnalign.config import DataConfig
from learnalign.errors import InputError
from learnalign.inputs import SourceRow, escaped
from learnalign.plain_rows import digests, question_digest
from learnalign.rundir.files import as_json
from learnalign.sources import read_rows

PLAIN = [b'{"a": 1, "b": "x"}', b'{"a": "\\u00fc \\\\ \\" \xc3\xbc", "b": null}', b"{}", b'{"b":-0.5e3,"a":true}']
READABLE = [
    *(b"", b" \t", b'  {"a": 1} ', b'{"a": 2}\r', b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": -0}'),
    *(b'{"a": [1, {"b": 2}]}', b'{"a": {}}', b'{"a": []}', b'{"a": 123456789012345678901234567890}', b'{"a": 1.0}'),
    *(
        b'{"a": "\\ud800"}',
        b'{"a": "\xe2\x80\xa8"}',
        b'{"a": "},\\n{"}',
        b'{"": ""}',
        b'\xc2\x85{"a": 1}',
        b'{"a":"\x7f"}',
    ),
]
REFUSED = [
    *(
        b"{",
        b"}",
        b"[1]",
        b"1",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": 1} {"a": 2}',
        b'{"a":1},{"a":2}',
    ),
    *(
        b'{"a": 1},{"b":[{}',
        b"{}]}",
        b'{"a": 1},{"a": "x}',
        b'{y"}',
        b'{"a": 1,',
        b'"b": 2}',
        b'{"a": "x}',
        b'{"a": 01}',
    ),
    *(
        b'{"a": "\x01"}',
        b'{"a": "\t"}',
        b'{"a": "\xff"}',
        b"{'a': 1}",
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ),
    *(b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", b"{" * 100_000, b'{"a": 1,}', b"{1: 2}", b"null", b"{}\x0c{}"),
]
CLOSING = [b"}", b"{}]}", b'{y"}', b'"b": 2}']  # ends of what a line before may have begun


def outcome(rows: Any) -> tuple[list[str], str]:
    """The rows, as text, for NaN is not equal to itself; and the error that ended them."""
    read: list[str] = []
    try:
        read += (repr(row) for row in rows)
    except InputError as error:
        return [], str(error)
    return read, ""


def both(path: Path) -> tuple[tuple[list[str], str], tuple[list[str], str]]:
    data = DataConfig(path=str(path))
    return outcome(itertools.chain.from_iterable(read_batches(data))), outcome(read_rows(data))


@pytest.mark.parametrize("together", [1, 2, 3, 7, 128])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_readable_lines(together: int, ending: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_TOGETHER", together)
    draw, path = random.Random(together), tmp_path / "pool.jsonl"
    for odd in (0.0, 0.1, 0.5):
        lines = [draw.choice(READABLE if draw.random() < odd else PLAIN) for _ in range(60)]
        content = ending.join(lines)
        for start, end in ((b"", b""), (b"\xef\xbb\xbf", ending), (b"", 3 * ending)):
            path.write_bytes(start + content + end)
            quick, careful = both(path)
            assert quick == careful
            assert quick[0]


@pytest.mark.parametrize("line", REFUSED)
def test_refused_lines(line: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool.jsonl"
    for together, before, after in itertools.product((1, 2, 128), range(3), ([], *([other] for other in CLOSING))):
        monkeypatch.setattr(batches, "_TOGETHER", together)
        path.write_bytes(b"\n".join([*PLAIN[:before], line, *after, *PLAIN]))
        quick, careful = both(path)
        assert quick == careful
        assert careful[1] or (line.startswith(b"\xef\xbb\xbf") and not before)


def test_plain_lines_are_decoded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(b"\n".join(PLAIN * 100))
    monkeypatch.setattr(batches, "json_line", lambda *_: pytest.fail("a line was decoded by itself"))
    assert sum(map(len, read_batches(DataConfig(path=str(path))))) == 400


def test_shards_have_no_lines_and_a_limit_ends_in_the_middle(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002"):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(PLAIN * 50))
    quick, careful = both(tmp_path)
    assert quick == careful
    data = DataConfig(path=str(tmp_path), limit=203)
    assert list(itertools.chain.from_iterable(read_batches(data))) == list(read_rows(data))


TEXTS = [
    "",
    "a",
    'say "hi"',
    "\\frac{1}{2}",
    "a\nb\tc\rd",
    "\0",
    "\x01\x1f",
    "\b\f",
    "\x7f\x80",
    "ü€😀",
    "\u2028",
    "\\",
    '"',
    "%s",
]


@pytest.mark.parametrize("texts", [TEXTS, [text for text in TEXTS if not {*text} & {*"\0\x01\b"}], ["a"], [""], []])
def test_texts_are_escaped_together_as_one_by_one(texts: list[str]) -> None:
    assert escaped(texts) == [encode_basestring(text)[1:-1] for text in texts]


@pytest.mark.parametrize("system", [None, ' Be "brief".\n'])
def test_questions_are_digested_together_as_one_by_one(system: str | None) -> None:
    asked = [f" {text}\n" for text in TEXTS]
    before = [{"role": "system", "content": system}] if system else []
    assert digests(asked, system) == [question_digest([*before, {"role": "user", "content": text}]) for text in asked]


def test_rows_of_plain_columns_have_the_text_of_the_row(tmp_path: Path) -> None:
    columns = {
        "text %s": [*TEXTS, None],
        "whole": [*range(len(TEXTS)), None],
        "real": [0.1, float("inf"), float("nan"), -0.0, 1e300, *map(float, range(len(TEXTS) - 5)), None],
        'a "flag"': [True, False] * (len(TEXTS) // 2) + [None],
    }
    pq.write_table(pa.table(columns), tmp_path / "pool.parquet", row_group_size=4)
    rows = list(read_rows(DataConfig(path=str(tmp_path / "pool.parquet"))))
    expected = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert [row.text for row in rows] == [as_json(row) for row in expected]
    assert repr([row.row for row in rows]) == repr([json.loads(row.text) for row in rows])
    assert isinstance(rows[0], SourceRow)
