"""Pools and settings that are wrong in one way each, and what the program says to them.

A pool's `expected` is a part of the one line that refuses it, or (prompts, left out) of its rows. Settings are refused.
"""

# ruff: noqa: E501

from __future__ import annotations

import datetime
import gzip
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

GOOD = '{"prompt": "1 + 1?", "answer": "2"}\n'
MORE = '{"prompt": "2 + 2?", "answer": "4"}\n'
DEEP = "[" * 10_000 + "]" * 10_000
HALF = "\\ud800"
SLOW = "a" * 200 + "!"  # for ^(a|aa)+$

Content = bytes | str | Callable[[Path], Any]


class Pool(NamedTuple):
    """A file or directory `file` with `content`, and further settings of its `data` section or others."""

    name: str
    file: str
    content: Content
    expected: str | tuple[int, int]
    options: tuple[str, ...] = ()


class Settings(NamedTuple):
    """A config file in YAML (or none: the demo's), overrides, and a part of the message."""

    name: str
    yaml: bytes | str | None
    overrides: tuple[str, ...]
    expected: str


def row(**columns: Any) -> str:
    return json.dumps({"prompt": "2 + 2?", "answer": "4"} | columns) + "\n"


def table(**columns: Any) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(columns), path, store_schema=True)


def bad_utf8(path: Path) -> None:
    texts = pa.array([b"1 + 1?", b"\xff\xfe?"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": texts, "answer": ["2", "3"]}), path)


def same_names(path: Path) -> None:
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a?"]), pa.array(["1"]), pa.array(["2"])], ["prompt", "answer", "answer"]), path
    )


def flipped(compression: str, at: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        columns = {"prompt": [f"{i} + {i}?" for i in range(500)], "answer": [str(2 * i) for i in range(500)]}
        pq.write_table(pa.table(columns), path, compression=compression)
        content = bytearray(path.read_bytes())
        content[at] ^= 255
        path.write_bytes(content)

    return write


def files(**contents: Content | None) -> Callable[[Path], None]:
    """A directory; __ in a name is a dot; None is a directory."""

    def write(path: Path) -> None:
        path.mkdir()
        for name, content in contents.items():
            put(path / name.replace("__", "."), content if content is not None else Path.mkdir)

    return write


def put(path: Path, content: Content) -> None:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def to_socket(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # a socket's path may have 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def zstd(text: str) -> bytes:
    return pa.compress(text.encode(), codec="zstd", asbytes=True)


NESTED = pa.array([{"role": b"user", "content": b"1 + 1?"}], pa.struct({"role": pa.binary(), "content": pa.binary()}))

JSONL_POOLS = [
    Pool("empty", "p.jsonl", "", "it has no rows"),
    Pool("blank lines alone", "p.jsonl", "\n \n\t\n", "it has no rows"),
    Pool("a BOM alone", "p.jsonl", b"\xef\xbb\xbf", "it has no rows"),
    Pool("BOM and CRLF", "p.jsonl", b"\xef\xbb\xbf" + (GOOD + MORE).replace("\n", "\r\n").encode(), (2, 0)),
    Pool("no line end at the end", "p.jsonl", (GOOD + MORE).rstrip(), (2, 0)),
    Pool("old Mac line ends", "p.jsonl", (GOOD + MORE).replace("\n", "\r"), "line 1: Extra data"),
    Pool("UTF-16", "p.jsonl", GOOD.encode("utf-16"), "line 1: 'utf-8' codec can't decode"),
    Pool("Latin-1", "p.jsonl", GOOD.replace("1?", "ü?").encode("latin-1"), "line 1: 'utf-8' codec can't decode"),
    Pool("a NUL between lines", "p.jsonl", GOOD + "\0\n", "line 2: "),
    Pool("a NUL in a text", "p.jsonl", GOOD + '{"prompt": "\0", "answer": 1}\n', "line 2: Invalid control character"),
    Pool("cut in the last line", "p.jsonl", GOOD + MORE[:20], "line 2: "),
    Pool("two objects a line", "p.jsonl", GOOD.strip() + MORE, "line 1: Extra data"),
    Pool("a list", "p.jsonl", "[1]\n", "line 1: this is a list"),
    Pool("a number", "p.jsonl", GOOD + "5\n", "line 2: this is a number"),
    Pool("null", "p.jsonl", "null\n", "line 1: this is a null"),
    Pool("single quotes", "p.jsonl", "{'prompt': 'a?'}\n", "line 1: "),
    Pool("HTML", "p.jsonl", "<!DOCTYPE html>\n", "line 1: "),
    Pool("a git-lfs pointer", "p.jsonl", "version https://git-lfs.github.com/spec/v1\n", "line 1: "),
    Pool("gzip by another name", "p.jsonl", gzip.compress(GOOD.encode()), "line 1: 'utf-8' codec can't decode"),
    Pool("nested 10,000 deep", "p.jsonl", f'{{"prompt": {DEEP}}}\n', "line 1: it is nested deeper than 100 levels"),
    Pool("nested 200 deep", "p.jsonl", f'{{"prompt": {"[" * 200 + "]" * 200}}}\n', "line 1: it is nested deeper than 100"),
    Pool("many brackets in a text", "p.jsonl", row(prompt="[{" * 5000), (1, 0), ("data.max_prompt_tokens=99999",)),
    Pool("a key twice", "p.jsonl", GOOD + '{"prompt": "a?", "answer": 1, "answer": 2}\n', "line 2: the key 'answer' is there twice"),
    Pool("a number of 5,000 digits", "p.jsonl", f'{{"prompt": "a?", "answer": {"9" * 5000}}}\n', "line 1: Exceeds the limit"),
    Pool("half a pair in a prompt", "p.jsonl", GOOD + row(prompt="\ud800?"), (1, 1)),
    Pool("half a pair in an answer", "p.jsonl", GOOD + row(answer="\ud800"), (1, 1)),
    Pool("half a pair in a role", "p.jsonl", GOOD + row(prompt=[{"role": "\ud800", "content": "a?"}]), (1, 1)),
    Pool("half a pair in a key", "p.jsonl", GOOD + row(**{"\ud800": 1}), (2, 0)),
    Pool("half a pair in all", "p.jsonl", row(prompt="\ud800?"), "none of 1 row can be used"),
    Pool("NaN", "p.jsonl", GOOD + '{"prompt": "a?", "answer": NaN}\n', (1, 1)),
    Pool("Infinity", "p.jsonl", '{"prompt": "a?", "answer": Infinity}\n', "the answer in column 'answer' is inf, not a finite number"),
    Pool("1e999", "p.jsonl", GOOD + '{"prompt": "a?", "answer": -1e999}\n', (1, 1)),
    Pool("null as an answer", "p.jsonl", GOOD + row(answer=None), (1, 1)),
    Pool("a list of two as an answer", "p.jsonl", GOOD + row(answer=[1, 2]), (1, 1)),
    Pool("an object as an answer", "p.jsonl", row(answer={"a": 1}), "the answer in column 'answer' is a JSON object"),
    Pool("an empty answer", "p.jsonl", GOOD + row(answer=" "), (1, 1)),
    Pool("a number as a prompt", "p.jsonl", GOOD + row(prompt=5), (1, 1)),
    Pool("no messages", "p.jsonl", GOOD + row(prompt=[]), (1, 1)),
    Pool("a message that is a text", "p.jsonl", GOOD + row(prompt=["a?"]), (1, 1)),
    Pool("a message without content", "p.jsonl", GOOD + row(prompt=[{"role": "user"}]), (1, 1)),
    Pool("a picture", "p.jsonl", GOOD + row(prompt=[{"role": "user", "content": [{"type": "image"}]}]), (1, 1)),
    Pool("the assistant is last", "p.jsonl", row(prompt=[{"role": "assistant", "content": "a"}]), "the last message is from the assistant"),
    Pool("no such column", "p.jsonl", '{"q": "a?", "answer": 1}\n', "no column 'prompt'"),
    Pool("5,000 columns", "p.jsonl", json.dumps({f"c{i}": i for i in range(5000)}), "and 4980 more"),
    Pool("a column's name of 1 MB", "p.jsonl", json.dumps({"c" * 1_000_000: 1}), "no column 'prompt'"),
    Pool("duplicates", "p.jsonl", GOOD * 5, (1, 4)),
    Pool("conflicting duplicates", "p.jsonl", GOOD + MORE + row(answer=5), (1, 2)),
    Pool("an id that is a list", "p.jsonl", row(id=[1]), "the id in column 'id' is a list", ("data.id=id",)),
    Pool("ids missing", "p.jsonl", row(id="x") + row(prompt="a?"), (1, 1), ("data.id=id",)),
    Pool("one id for two", "p.jsonl", row(id=1) + row(id="1", prompt="a?"), (1, 1), ("data.id=id",)),
    Pool("an id that is not finite", "p.jsonl", row(id=1) + '{"prompt": "a?", "answer": 1, "id": NaN}\n', (1, 1), ("data.id=id",)),
    Pool("JSON nested deep in a column", "p.jsonl", GOOD + row(answer=DEEP), "no answer in column 'answer.x'", ("data.answer=answer.x",)),
    Pool("JSON with a key twice in a column", "p.jsonl", row(answer='{"x": 1, "x": 2}'), "no answer in column 'answer.x'", ("data.answer=answer.x",)),
    Pool("a digit that is no number", "p.jsonl", row(answer=[1]), "no answer in column 'answer.²'", ("data.answer=answer.²",)),
    Pool("a place of 5,000 digits", "p.jsonl", row(answer=[1]), "no answer in column", (f"data.answer=answer.{'9' * 5000}",)),
    Pool("a slow regex on one row", "p.jsonl", GOOD + row(answer=SLOW), (1, 1), (r"data.answer_regex=^(2|a|aa)+$",)),
    Pool("a slow regex on all rows", "p.jsonl", row(answer=SLOW), "it takes more than 1 s on this row", (r"data.answer_regex=^(2|a|aa)+$",)),
    Pool("a group that takes no part", "p.jsonl", row(), "nothing found", ("data.answer_regex=x?(y)?",)),
    Pool("a regex that finds nothing", "p.jsonl", row(), "data.prompt_regex, column 'prompt': nothing found", ("data.prompt_regex=zzz",)),
    Pool("a template with a missing column", "p.jsonl", GOOD, "no column 'nothing' for data.prompt_template", ("data.prompt_template={nothing}?",)),
    Pool("too long", "p.jsonl", GOOD + row(prompt="a " * 3000), (1, 1)),
    Pool("10 MB", "p.jsonl", GOOD + row(prompt="a" * 10_000_000), (1, 1)),
    Pool("all too long", "p.jsonl", row(prompt="a " * 3000), "none of 1 row can be used (1 too long)"),
    Pool("all golds useless", "p.jsonl", row(answer="\\frac{"), "none of 1 row can be used (1 unusable answer)"),
    Pool("some golds useless", "p.jsonl", GOOD + row(answer="\\frac{"), (1, 1)),
    Pool("a limit of rows that are bad", "p.jsonl", row(prompt=5) + GOOD, "none of 1 row", ("data.limit=1",)),
    Pool("fewer rows than worked examples", "p.jsonl", GOOD, "only 1 usable row with", ("data.few_shot=3",)),
]  # fmt: skip

JSON_POOLS = [
    Pool("empty .json", "p.json", "", "Expecting value"),
    Pool("an object", "p.json", '{"prompt": "a?"}', "expected a list of objects"),
    Pool("two lists", "p.json", '{"a": [], "b": []}', "expected a list of objects"),
    Pool("a list of texts", "p.json", '["a?"]', "expected a list of objects"),
    Pool("an empty list", "p.json", "[]", "it has no rows"),
    Pool("JSONL by another name", "p.json", GOOD + MORE, "Extra data"),
    Pool("deep .json", "p.json", DEEP, "nested deeper than 100 levels"),
    Pool("UTF-16 .json", "p.json", f"[{GOOD}]".encode("utf-16"), "can't decode"),
    Pool("a key twice in .json", "p.json", '[{"prompt": "a?", "prompt": "b?"}]', "the key 'prompt' is there twice"),
    Pool("half a pair in .json", "p.json", f'[{GOOD}, {{"prompt": "{HALF}", "answer": 1}}]', (1, 1)),
]

CSV_POOLS = [
    Pool("empty .csv", "p.csv", "", "it has no rows"),
    Pool("a header alone", "p.csv", "prompt,answer\n", "it has no rows"),
    Pool("a row too short", "p.csv", "prompt,answer\na?,1\nb?\n", (1, 1)),
    Pool("a row too long", "p.csv", "prompt,answer\na?,1,2\n", "another number of fields than the header"),
    Pool("Latin-1 .csv", "p.csv", "prompt,answer\nwie groß?,1\n".encode("latin-1"), "save it as CSV in UTF-8"),
    Pool("UTF-16 .csv", "p.csv", "prompt,answer\na?,1\n".encode("utf-16"), "save it as CSV in UTF-8"),
    Pool("UTF-16 without BOM", "p.csv", "prompt,answer\na?,1\n".encode("utf-16-le"), "it has a NUL byte"),
    Pool("a NUL in .csv", "p.csv", "prompt,answer\na\0?,1\n", "it has a NUL byte"),
    Pool("a field of 200,000 characters", "p.csv", "prompt,answer\n1 + 1?,2\n" + "a " * 100_000 + ",1\n", (1, 1)),
    Pool("an open quote", "p.csv", 'prompt,answer\n"a?,1\nb?,2\n', "unexpected end of data"),
    Pool("text after a quote", "p.csv", 'prompt,answer\n"a"?,1\n', "after line 2"),
    Pool("a column twice", "p.csv", "prompt,answer,answer\na?,1,2\n", "the column 'answer' is there twice"),
    Pool("semicolons inside a comma's header", "p.csv", "prompt;answer,x\na?;1,2\n", "no column 'prompt'"),
    Pool("BOM and CRLF in .csv", "p.csv", b"\xef\xbb\xbfprompt,answer\r\n1 + 1?,2\r\n2 + 2?,4\r\n", (2, 0)),
    Pool("old Mac line ends in .csv", "p.csv", "prompt,answer\r1 + 1?,2\r2 + 2?,4\r", (2, 0)),
    Pool("blank lines in .csv", "p.csv", "\nprompt,answer\n\n1 + 1?,2\n\n", (1, 0)),
    Pool("an empty field", "p.csv", "prompt,answer\n1 + 1?,\n2 + 2?,4\n", (1, 1)),
]

PARQUET_POOLS = [
    Pool("empty .parquet", "p.parquet", "", "not a Parquet file, or damaged"),
    Pool("text as .parquet", "p.parquet", GOOD, "not a Parquet file, or damaged"),
    Pool("no rows", "p.parquet", table(prompt=pa.array([], pa.string()), answer=pa.array([], pa.string())), "it has no rows"),
    Pool("a flipped page, zstd", "p.parquet", flipped("zstd", 50), "p.parquet"),
    Pool("a flipped page, snappy", "p.parquet", flipped("snappy", 20), "p.parquet"),
    Pool("a flipped footer", "p.parquet", flipped("none", -200), "p.parquet"),
    Pool("bytes that are UTF-8", "p.parquet", table(prompt=[b"1 + 1?"], answer=[b"2"]), (1, 0)),
    Pool("messages of bytes", "p.parquet", table(prompt=pa.array([NESTED.to_pylist()], pa.list_(NESTED.type)), answer=[b"2"]), (1, 0)),
    Pool("bytes that are not, as an answer", "p.parquet", table(prompt=["a?", "1 + 1?"], answer=[b"\xff", b"2"]), (1, 1)),
    Pool("bytes that are not, as all answers", "p.parquet", table(prompt=["a?"], answer=[b"\xff"]), "the answer in column 'answer' is binary data"),
    Pool("bytes that are not, as a prompt", "p.parquet", table(prompt=[b"\xff"], answer=["1"]), "the prompt in column 'prompt' is binary data"),
    Pool("bytes that are not, in a template", "p.parquet", table(a=[b"\xff"], answer=["1"]), "the column 'a' for data.prompt_template is binary", ("data.prompt_template={a}?",)),
    Pool("bytes that are not, as an id", "p.parquet", table(prompt=["a?"], answer=["1"], id=[b"\xff"]), "the id in column 'id' is binary data", ("data.id=id",)),
    Pool("bytes that are not, elsewhere", "p.parquet", table(prompt=["1 + 1?"], answer=["2"], image=[b"\xff"]), (1, 0)),
    Pool("bad UTF-8 in a text", "p.parquet", bad_utf8, "Invalid UTF8 sequence"),
    Pool("a time out of range", "p.parquet", table(prompt=["a?"], answer=["1"], time=pa.array([2**62], pa.timestamp("us"))), "p.parquet"),
    Pool("a duration out of range", "p.parquet", table(prompt=["a?"], answer=["1"], time=pa.array([2**62], pa.duration("ms"))), "p.parquet"),
    Pool("a duration as an answer", "p.parquet", table(prompt=["a?"], answer=[datetime.timedelta(hours=1)]), (1, 0)),
    Pool("NaN as an answer", "p.parquet", table(prompt=["a?", "b?"], answer=[float("nan"), 1.0]), (1, 1)),
    Pool("a column twice in .parquet", "p.parquet", same_names, "the column 'answer' is there twice"),
    Pool("compressed again", "p.parquet.gz", gzip.compress(b"PAR1"), "unknown kind of file"),
]  # fmt: skip

OTHER_POOLS = [
    Pool("no such file", "p.jsonl", lambda path: None, "no such file"),
    Pool("no such kind", "p.txt", GOOD, "unknown kind of file '.txt'"),
    Pool("no ending", "pool", GOOD, "unknown kind of file ''"),
    Pool("a pipe", "p.jsonl", os.mkfifo, "this is a pipe, socket or device"),
    Pool("a socket", "p.jsonl", to_socket, "this is a pipe, socket or device"),
    Pool("a device", "p.jsonl", lambda path: path.symlink_to("/dev/zero"), "this is a pipe, socket or device"),
    Pool("a link to itself", "p.jsonl", lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    Pool("a link to nothing", "p.jsonl", lambda path: path.symlink_to("nothing"), "no such file"),
    Pool(".jsonl.gz", "p.jsonl.gz", gzip.compress((GOOD + MORE).encode()), (2, 0)),
    Pool(".json.gz", "p.json.gz", gzip.compress(f"[{GOOD}]".encode()), (1, 0)),
    Pool(".csv.gz", "p.csv.GZ", gzip.compress(b"prompt,answer\na?,1\n"), (1, 0)),
    Pool(".jsonl.zst", "p.jsonl.zst", zstd(GOOD + MORE), (2, 0)),
    Pool(".csv.zst", "p.csv.zst", zstd("prompt,answer\na?,1\n"), (1, 0)),
    Pool("two gzip members", "p.jsonl.gz", gzip.compress(GOOD.encode()) + gzip.compress(MORE.encode()), (2, 0)),
    Pool("gzip cut", "p.jsonl.gz", gzip.compress(GOOD.encode())[:-6], "p.jsonl.gz: cannot be read"),
    Pool("gzip flipped", "p.jsonl.gz", gzip.compress(GOOD.encode())[:-8] + b"12345678", "p.jsonl.gz: cannot be read"),
    Pool("no gzip", "p.jsonl.gz", GOOD, "p.jsonl.gz: cannot be read"),
    Pool("zstd cut", "p.jsonl.zst", zstd(GOOD)[:-6], "p.jsonl.zst: cannot be read"),
    Pool("no zstd", "p.jsonl.zst", GOOD, "p.jsonl.zst: cannot be read"),
    Pool("an empty directory", "pool", files(), "it holds no .parquet or .jsonl file"),
    Pool("a directory named as a file", "p.jsonl", files(), "it holds no .parquet or .jsonl file"),
    Pool("a directory of CSV", "pool", files(a__csv="prompt,answer\n"), "it holds .csv files"),
    Pool("two kinds", "pool", files(a__jsonl=GOOD, b__json="[]"), "it holds .json and .jsonl files"),
    Pool("a bad shard", "pool", files(a__jsonl=GOOD, b__jsonl="{"), "b.jsonl, line 1"),
    Pool("a directory as a shard", "pool", files(a__jsonl=GOOD, b__jsonl=None), "b.jsonl: this is a directory"),
    Pool("a broken link as a shard", "pool", files(a__jsonl=GOOD, b__jsonl=lambda path: path.symlink_to("x")), "b.jsonl: no such file"),
    Pool("a pipe as a shard", "pool", files(a__jsonl=GOOD, b__jsonl=os.mkfifo), "b.jsonl: this is a pipe"),
    Pool("no such split", "pool", files(test__jsonl=GOOD, dev__jsonl=GOOD), "data.split train"),
    Pool("compressed shards", "pool", files(a__jsonl__gz=gzip.compress(GOOD.encode()), b__jsonl=MORE), (2, 0)),
    Pool("a damaged saved directory", "pool", files(dataset_info__json="{"), "`datasets` cannot load it"),
    Pool("a saved directory without data", "pool", files(dataset_dict__json='{"splits": ["train"]}'), "`datasets` cannot load it"),
]  # fmt: skip

POOLS = JSONL_POOLS + JSON_POOLS + CSV_POOLS + PARQUET_POOLS + OTHER_POOLS


def sections(text: str = "") -> str:
    return f"model: {{name: demo}}\ndata: {{path: demo, prompt: question}}\n{text}"


def bomb(key: str) -> str:
    levels = "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 9))
    return f"b0: &b0 [x, x, x, x, x, x, x, x, x]\n{levels}{sections()}{key}: *b8\n"


def wide(count: int) -> str:
    return sections("".join(f"key{i}: {i}\n" for i in range(count)))


FILES = [
    Settings("empty", "", (), "expected a mapping of settings"),
    Settings("a list", "- a\n", (), "expected a mapping of settings"),
    Settings("a text", "model", (), "expected a mapping of settings"),
    Settings("no model", "data: {path: demo}\n", (), "model is required"),
    Settings("not YAML", "a: [1\n", (), "not a YAML file"),
    Settings("a tab", "a:\n\t- 1\n", (), "not a YAML file"),
    Settings("two documents", sections() + "---\n" + sections(), (), "not a YAML file"),
    Settings("Latin-1", sections("# größer\n").encode("latin-1"), (), "not a YAML file"),
    Settings("UTF-16", sections().encode("utf-16"), (), "not a YAML file"),
    Settings("a NUL", sections("seed: \0\n"), (), "not a YAML file"),
    Settings("an escaped NUL", sections('verifier: "a\\0"\n'), (), "line 3: 'a\\x00' has the character"),
    Settings("half a pair", sections('verifier: "\\ud800"\n'), (), "line 3: "),
    Settings("beyond Unicode", sections('verifier: "\\UFFFFFFFF"\n'), (), "not a YAML file"),
    Settings("a key twice", sections("grad: {dim: 64}\nseed: 1\ngrad: {beta: 0}\n"), (), "the key grad is in line 3 and again in line 5"),
    Settings("a key twice in a section", sections("grad:\n  dim: 64\n  dim: 32\n"), (), "the key dim is in line 4 and again in line 5"),
    Settings("a key twice in pass-through", sections("warmup: {trainer: {a: 1, a: 2}}\n"), (), "the key a is in line 3"),
    Settings("a number as a key", sections("1: 2\n"), (), "the key 1 is not a text"),
    Settings("null as a key", sections("~: 2\n"), (), "the key None is not a text"),
    Settings("a list as a key", sections("[1]: 2\n"), (), "the key [1] is not a text"),
    Settings("a merge", sections("grad: {<<: {dim: 64}}\n"), (), "unknown key grad.<<"),
    Settings("a tag of Python", sections("seed: !!python/object/apply:os.getcwd []\n"), (), "the tag"),
    Settings("a tag of its own", sections("seed: !x 1\n"), (), "the tag '!x' is not for settings"),
    Settings("bytes", sections("seed: !!binary aGk=\n"), (), "the tag"),
    Settings("a bomb as a value", bomb("seed"), (), "more than 100,000 values"),
    Settings("a bomb in pass-through", bomb("warmup"), (), "more than 100,000 values"),
    Settings("a small bomb as a value", sections("a: &a [x, x, x]\nseed: [*a, *a, *a]\n"), (), "unknown key a"),
    Settings("an alias to itself", sections("grad: &a {dim: *a}\n"), (), "the alias *a stands for what it is a part of"),
    Settings("an alias to itself in a list", sections("grad: &a [*a]\n"), (), "the alias *a stands for what it is a part of"),
    Settings("an alias to nothing", sections("seed: *a\n"), (), "not a YAML file"),
    Settings("nested deep", sections(f"seed: {'[' * 5000}\n"), (), "nested deeper than 50 levels"),
    Settings("nested deep in blocks", sections("seed:\n" + "- " * 5000 + "\n"), (), "nested deeper than 50 levels"),
    Settings("245 kB of text as a number", sections(f"seed: {'x' * 245_000}\n"), (), "seed: got 'xxx"),
    Settings("a list of 5,000 as a number", sections(f"seed: [{'1,' * 5000}]\n"), (), "seed: got [1, 1"),
    Settings("600 kB", sections(f"# {'x' * 600_000}\n"), (), "more than 500,000 bytes"),
    Settings("500 unknown keys", wide(500), (), "and 492 more"),
    Settings("an unknown key of 10,000 letters", sections(f"{'x' * 900}: 1\n"), (), "unknown key xxx"),
    Settings("a base that is a list", sections("base: [a]\n"), (), "base: got ['a']"),
    Settings("a base that is nowhere", sections("base: nothing\n"), (), "config nothing: no such file"),
    Settings("a base that is itself", sections("base: config.yaml\n"), (), "is based on this file itself"),
    Settings("a section that is a text", sections("grad: 5\n"), (), "grad: got 5, but this is a section"),
    Settings("a section that is null", sections("grad:\n"), (), "grad: got None, but this is a section"),
    Settings("yes as a number", sections("rollout: {num_generations: yes}\n"), (), "rollout.num_generations: got 'yes'"),
    Settings("true as a number", sections("rollout: {num_generations: true}\n"), (), "true and false are no numbers"),
    Settings("true as a real number", sections("grad: {beta: true}\n"), (), "true and false are no numbers"),
    Settings("true as a number or null", sections("warmup: {steps: true}\n"), (), "true and false are no numbers"),
    Settings("true as a size", sections("select: {size: true}\n"), (), "true and false are no numbers"),
    Settings("true as a number of examples", "model: {name: demo}\ndata: {path: demo, few_shot: true}\n", (), "true and false are no numbers"),
    Settings("off as a number", sections("select: {size: off}\n"), (), "select.size: got 'off'"),
    Settings("sixty-based", sections("grad: {dim: 1:30}\n"), (), "grad.dim: got '1:30'"),
    Settings("hexadecimal", sections("grad: {dim: 0x40}\n"), (), "grad.dim: got '0x40'"),
    Settings("a date", sections("seed: 2024-01-01\n"), (), "seed: got '2024-01-01'"),
    Settings("NaN", sections("grad: {beta: .nan}\n"), (), "grad.beta: got nan"),
    Settings("infinity", sections("grad: {beta: .inf}\n"), (), "grad.beta: got inf"),
    Settings("a number too large", sections("grad: {beta: 1e999}\n"), (), "grad.beta: got inf"),
]  # fmt: skip

OVERRIDES = [
    Settings(name, None, (override,), expected)
    for name, override, expected in [
        ("no value", "grad.dim", "expected KEY=VALUE"),
        ("no key", "=5", "expected KEY=VALUE"),
        ("an empty part", "grad..dim=5", "expected KEY=VALUE"),
        ("a key of 5,000 parts", ".".join("a" * 5000) + "=1", "expected KEY=VALUE"),
        ("an unknown key", "grad.dims=5", "did you mean grad.dim?"),
        ("an unknown section", "grads.dim=5", "unknown key grads"),
        ("a key of a text", "model.name.x=1", "model.name is not a section"),
        ("a key twice", "data.few_shot=[{question: a, question: b}]", "the key question is in line 1"),
        ("a tag", "seed=!!int 5", "the tag"),
        ("half a pair", "verifier=\udcff", "has the character"),
        ("an escaped NUL", 'data.path="a\\0"', "has the character"),
        ("nested deep", "seed=" + "[" * 5000, "nested deeper than 50 levels"),
        ("an alias to itself", "seed=&a [*a]", "stands for what it is a part of"),
        ("a newline in a value", "grad.dim=a\nb", "grad.dim: got 'a b'"),
        ("an escape in a value", 'grad.dim="\\e[31m"', "grad.dim: got '\\x1b[31m'"),
        ("100 kB as a value", f"grad.dim={'x' * 100_000}", "grad.dim: got 'xxx"),
        ("a number of 5,000 digits", f"grad.dim={'9' * 5000}", "grad.dim: got '999"),
        ("beyond 64 bits", "data.limit=100000000000000000000", "data.limit: got 100000000000000000000"),
        ("1e20 rows", "data.limit=1e20", "data.limit: got 1e+20"),
        ("no rows", "data.limit=0", "data.limit: got 0"),
        ("half a row", "data.limit=1.5", "data.limit: got 1.5"),
        ("a seed below 0", "seed=-1", "seed: got -1"),
        ("a seed beyond 32 bits", "warmup.seed=4294967296", "warmup.seed: got 4294967296"),
        ("epochs without end", "warmup.num_train_epochs=1e300", "warmup.num_train_epochs: got 1e+300"),
        ("a regex that is none", "data.answer_regex=(", "not a regular expression"),
        ("a regex with a lone star", "data.prompt_regex=*", "not a regular expression"),
        ("a regex that repeats too often", "data.answer_regex=a{99999999999}", "not a regular expression"),
        ("a regex of 5,000 groups", f"data.answer_regex={'(' * 5000}{')' * 5000}", "not a regular expression"),
        ("a regex of 20,000 characters", f"data.answer_regex={'a' * 20_000}", "at most 10,000 characters"),
        ("a template without a place", "data.prompt_template=Answer it.", "it has no place for a column"),
        ("a template with an empty place", "data.prompt_template=a {}", "it has no place for a column"),
        ("no such home", "data.path=~nosuchuser/x", "data.path '~nosuchuser/x': not a path"),
        ("a path of 5,000 letters", f"data.path={'x' * 5000}.jsonl", "File name too long"),
        ("a hub name that is none", "data.path=a b c", "no such file"),
        ("a loader of datasets", "data.path=text", "this is a loader of `datasets`"),
        ("a process", "data.path=/proc/self", "it holds no .parquet or .jsonl file"),
        ("a device", "data.path=/dev/zero", "this is a pipe, socket or device"),
        ("a terminal", "data.path=/dev/tty", "this is a pipe, socket or device"),
        ("the root", "data.path=/", "data.path /: it holds "),
        ("no such examples", "data.few_shot=none.jsonl", "data.few_shot none.jsonl: no such file"),
        ("examples of no kind", "data.few_shot=none.txt", "not a .json or .jsonl file"),
        ("examples at no home", "data.few_shot=~nosuchuser/x.jsonl", "not a path"),
        ("examples of a device", "data.few_shot=/dev/zero", "not a .json or .jsonl file"),
        ("an example without an answer", "data.few_shot=[{question: a}]", "data.few_shot.0.answer is required"),
        ("a setting of the caller", "data.chat_template_kwargs={messages: []}", "messages cannot be set"),
        ("null for the template", "data.chat_template_kwargs={a: null}", "a is null"),
        ("a tag with three words", "data.reasoning_tags=[a b c]", "'a b c' is no tag"),
        ("no such verifier", "verifier=mathh", "did you mean math?"),
        ("no such method", "select.method=foo", "select.method: got 'foo'"),
        ("a name of 100 kB", f"select.method={'x' * 100_000}", "select.method: got 'xxx"),
        ("no such format", "select.format=foo", "select.format: got 'foo'"),
        ("a share above 1", "select.size=1.5", "select.size: got 1.5"),
        ("no modules", "grad.modules=,", "it names nothing"),
        ("a model that is a number", "model.name=5", "model.name: got 5"),
    ]
]

SETTINGS = FILES + OVERRIDES
