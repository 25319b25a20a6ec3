"""Every reader of a user's input, fed with whatever hypothesis makes of valid files: the result is rows whose counts add
up, or an InputError of one line. `fuzz` goes on for a given time.
"""

from __future__ import annotations

import functools
import gzip
import io
import itertools
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from learnalign import pool_table
from learnalign.config import Config, DataConfig, build_config, load_config
from learnalign.errors import InputError
from learnalign.evaluation.testset import settings_of
from learnalign.prompts import read_pool
from learnalign.rollouts.given import Given, seekable
from learnalign.sources import read_rows
from learnalign.verify.rows import verify_file

LONGEST_MESSAGE = 2000
ROWS = [
    {"prompt": f"{i} + {i}?", "answer": 2 * i, "id": f"p{i}", "more": {"text": "é", "list": [1.5, None]}}
    for i in range(3)
]
COMPLETIONS: list[dict[str, Any]] = [
    {"id": "p0", "completion": "0", "answer": "0"},
    {"prompt": "1 + 1?", "completions": ["1", "2"], "completion": "2", "answer": "2"},
    {"id": "p2", "correct": 1, "scored": 2},
    {"prompt": [{"role": "user", "content": "1 + 1?"}], "completion_ids": [1, 2], "finish_reason": "length"},
]
CONFIG = {
    "model": {"name": "demo"},
    "data": {"path": "demo", "few_shot": [{"question": "a?", "answer": "b"}], "chat_template_kwargs": {"a": [1, True]}},
    "warmup": {"learning_rate": 1e-6, "trainer": {"seed": 1}, "lora": {"r": 8}},
    "train": {"lora": False, "until": {"patience": 3}},
    "select": {"size": 0.5},
}
PIECES = [
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"\r\n",
        b"\t",
        b'"',
        b"'",
        b"\\",
        b"{",
        b"}",
        b"]",
        b",",
        b":",
        b"#",
    ),
    *(b"[" * 101, b"[" * 20_000, b'{"a":' * 20_000, b"- " * 200, b"9" * 5000, b"\\ud800", b"\xed\xa0\x80", b"\xc2\x85"),
    *(b"NaN", b"-Infinity", b"1e999", b"true", b"null", b"-0", b"0x1", b"1:30", b"yes", b"~", b".inf", b"1e-6"),
    *(b'"prompt"', b'"answer"', b'"id"', b'{"prompt": "a?", "answer": 1}', b"prompt,answer\n", b'{"a":1,"a":2}'),
    *(
        b"&a ",
        b"*a",
        b"<<: *a\n",
        b"!!python/object:os.system ",
        b"!!int ",
        b"? ",
        b"| \n",
        b"%YAML 9.9\n",
        b"---\n",
        b'"\\UFFFFFFFF"',
    ),
    *(b"data.path=", b"grad.dim=", b"warmup.", b"=", b".", "²".encode(), b"{prompt}", b"x?(y)?"),
]
Pair = tuple[str, Any]  # a file's name or option, and its content


@st.composite
def mutated(draw: Any, *valid: bytes) -> bytes:
    """A valid content with up to five pieces cut out, flipped, repeated or put in; at times, any bytes."""
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.sampled_from([1, 1, 1, 0, 2, 3, 5]))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["flip", "cut", "put", "put", "repeat", "end", "any"])):
            case "flip" if at < len(content):
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del content[at : at + draw(st.integers(1, 40))]
            case "repeat":
                content[at:at] = content[at : at + draw(st.integers(1, 200))]
            case "end":
                del content[at:]
            case "any":
                content[at:at] = draw(st.binary(max_size=8))
            case _:
                content[at:at] = draw(st.sampled_from(PIECES))
    return bytes(content)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["1", "[1]", '{"a": 1}', "[" * 2000, "x" * 300, 10**400, "\0"]),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=4), values, max_size=3)
    ),
    max_leaves=6,
)


def objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these keys and any values."""
    messages = st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]) | VALUES, "content": VALUES}), max_size=2
    )
    return st.fixed_dictionaries({}, optional={name: VALUES | messages for name in names})


def jsonl_of(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


JSONL = jsonl_of(ROWS)
POOL_ROWS = st.lists(objects("prompt", "answer", "id", "more", "more.text"), min_size=1, max_size=5)
CSV = b'prompt,answer,id\r\n"a, ""b""\nc?",1,x\r\nd?,2,y\r\n'


def _zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


def packed(kind: str, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[Pair]:
    """Files of a kind, as they are, or compressed, before or after the mutation."""
    plain = contents.map(lambda content: (f"pool.{kind}", content))
    gz = contents.map(lambda content: (f"pool.{kind}.gz", gzip.compress(content)))
    zst = contents.map(lambda content: (f"pool.{kind}.zst", _zstd(content)))
    broken = mutated(gzip.compress(JSONL), _zstd(JSONL))
    damaged = st.tuples(st.sampled_from([f"pool.{kind}.gz", f"pool.{kind}.zst", f"pool.{kind}"]), broken)
    return plain | plain | plain | gz | zst | damaged


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def _odd_table() -> pa.Table:
    """A column of each kind that JSON has no form for."""
    numbers = pa.array([1, 2**40, None])
    kinds = ["timestamp[s]", "timestamp[ns, tz=UTC]", "duration[us]", "time64[us]"]
    types = [pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.duration("us"), pa.time64("us")]
    columns = {name: pa.array([1, 2**33, None], pa.int64()).cast(kind) for name, kind in zip(kinds, types, strict=True)}
    columns |= {
        "prompt": pa.array([b"a?", b"\xff\xfe", b"b?"], pa.binary()),
        "answer": numbers.cast(pa.decimal128(30, 2)),
    }
    columns |= {
        "id": pa.array(["x", "y", "x"]).dictionary_encode(),
        "map": pa.array([[("a", 1)], [], None], pa.map_("string", "int8")),
    }
    return pa.table(columns)


@functools.cache
def parquets() -> list[bytes]:
    plain = pa.Table.from_pylist(ROWS)
    return [
        parquet_bytes(plain),
        parquet_bytes(plain, compression="zstd", write_page_checksum=True),
        parquet_bytes(_odd_table(), compression="none"),
    ]


@st.composite
def tables(draw: Any) -> bytes:
    """A Parquet file of columns of any type with any bits."""
    kinds = [
        pa.int64(),
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.duration("s"),
        pa.date32(),
        pa.float64(),
        pa.binary(8),
    ]
    names = draw(st.lists(st.sampled_from(["prompt", "answer", "id", "x"]), min_size=1, max_size=4))
    columns = []
    for _ in names:
        kind = draw(st.sampled_from([*kinds, pa.string(), pa.binary()]))
        values = draw(st.lists(st.binary(min_size=8, max_size=8), min_size=2, max_size=2))
        if kind in (pa.string(), pa.binary()):
            columns.append(pa.array(values, pa.binary()).view(kind))
        else:
            width = kind.bit_width // 8
            data = pa.py_buffer(b"".join(value[:width] for value in values))
            columns.append(pa.Array.from_buffers(kind, 2, [None, data]))
    return parquet_bytes(pa.Table.from_arrays(columns, names=names))


NAMES = [
    "a.jsonl",
    "b.jsonl",
    "train-00000-of-00002.jsonl",
    "test.jsonl",
    "c.parquet",
    "d.csv",
    "e.jsonl.gz",
    ".f.jsonl",
    "README.md",
]
DIRECTORIES = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from(["directory", "pipe", "broken link", "loop"]) | st.just(JSONL) | mutated(JSONL),
    max_size=4,
)


@functools.cache
def saved() -> dict[str, bytes]:
    """The files of a directory that `datasets` saved."""
    with tempfile.TemporaryDirectory() as folder:
        whole = datasets.Dataset.from_list([{"prompt": row["prompt"], "answer": row["answer"]} for row in ROWS])
        datasets.DatasetDict({"train": whole}).save_to_disk(folder)
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@st.composite
def damaged(draw: Any) -> dict[str, bytes]:
    name = draw(st.sampled_from(sorted(saved())))
    content = draw(mutated(saved()[name]) | st.just(None))
    return {**saved(), name: content} if content is not None else {n: c for n, c in saved().items() if n != name}


def yaml_of(value: Any) -> bytes:
    return yaml.safe_dump(value, sort_keys=False).encode("utf-8", "surrogatepass")


YAMLS = mutated(yaml_of(CONFIG), json.dumps(CONFIG).encode(), b"a: &a [x]\nb: &b [*a, *a]\ndata: {path: *b}\n")
SETS = st.lists(
    st.sampled_from(
        ["grad.dim=", "data.few_shot=", "select.size=", "warmup.trainer=", "train.lora=", "data.answer_regex=", ""]
    )
    .flatmap(
        lambda start: mutated(b"4", b"[a, b]", b"{a: 1}", b"(a+)+$", b"grad.dim=1e-6").map(lambda end: (start, end))
    )
    .map(lambda parts: parts[0] + parts[1].decode("utf-8", "surrogateescape")),
    max_size=3,
)
COLUMNS = st.just({}) | st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["id", "id", "id", "more.list.²", "a" * 3000]),
        "answer_regex": st.sampled_from(["(.)", "x?(y)?", "."]),
        "prompt_template": st.sampled_from(["{prompt} {answer}", "{more}", "{more.list.1}"]),
        "few_shot": st.sampled_from([1, 2]),
        "limit": st.sampled_from([1, 2, 2**53 - 1]),
    },
)


def one_line(action: Callable[[], str]) -> str:
    """What `action` returns, or `refused`, if the refusal is one short line."""
    try:
        return action()
    except InputError as error:
        message = str(error)
        assert message.isprintable(), message
        assert 0 < len(message) <= LONGEST_MESSAGE, message[:200]
        return "refused"


def read_a_pool(path: Path, **columns: Any) -> str:
    """Read a pool; its prompts and the rows left out are its rows, and all of it can be written."""
    data = DataConfig(path=str(path), **columns)
    prompts, left_out, count = read_pool(data)
    rows = list(read_rows(data))
    assert Counter([prompt.row for prompt in prompts] + [entry.row for entry in left_out]) == Counter(range(count))
    assert len(rows) == count
    for prompt in prompts:
        assert prompt.source == rows[prompt.row].text
        json.dumps([prompt.id, prompt.answer, prompt.solution, prompt.messages], ensure_ascii=False).encode()
    for row in rows:
        row.text.encode()
        assert isinstance(json.loads(row.text), dict)
    for entry in left_out:
        assert len(entry.reason) <= LONGEST_MESSAGE
    return "read"


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _pool(folder: Path, example: tuple[Pair, dict[str, Any]]) -> str:
    (name, content), columns = example
    return read_a_pool(_file(folder, name, content), **columns)


def _directory(folder: Path, files: dict[str, bytes | str]) -> str:
    for name, content in files.items():
        path = folder / name
        if isinstance(content, bytes):
            _file(folder, name, content)
        elif content == "directory":
            path.mkdir()
        elif content == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(name if content == "loop" else "nothing")
    return read_a_pool(folder)


def _saved(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        _file(folder, name, content)
    return read_a_pool(folder)


def _config(folder: Path, content: bytes) -> str:
    assert isinstance(load_config(_file(folder, "config.yaml", content)), Config)
    return "read"


def _sets(folder: Path, overrides: list[str]) -> str:
    assert isinstance(load_config("demo", overrides), Config)
    return "read"


def _test_set(folder: Path, content: bytes) -> str:
    config = build_config({"model": {"name": "demo"}, "data": {"path": "demo"}})
    build_config(settings_of(config, str(_file(folder, "test.yaml", content))))
    return "read"


def _few_shot(folder: Path, example: Pair) -> str:
    pool, examples = _file(folder, "p.jsonl", JSONL), _file(folder, *example)
    return read_a_pool(pool, few_shot=str(examples))


def _imports(folder: Path, content: bytes) -> str:
    asked = [[{"role": "user", "content": row["prompt"]}] for row in ROWS]
    count = len(ROWS)
    columns = [
        [row["id"] for row in ROWS],
        range(count),
        asked,
        ["1"] * count,
        [None] * count,
        ["{}"] * count,
        [None] * count,
    ]
    pool, file = (
        pool_table.Prompts.of([pool_table.packed(pool_table.group_of(columns, []))]),
        _file(folder, "rollouts.jsonl", content),
    )
    with seekable(file, folder) as lines:
        given = Given(file, lines, pool, 0)
        counts = [each for place in range(count) if (each := given.counts(place))]
        assert given.rows >= len(given.unmatched) + len(counts)
        assert bool(given) == bool(given.completions(0, count))
    return "read"


def _completions(folder: Path, content: bytes) -> str:
    written: list[str] = []
    report = verify_file(_file(folder, "completions.jsonl", content), ["exact"], written.append)
    assert report.rows == len(written) == report.patterns.total()
    "".join(written).encode()
    return "read"


Reader = tuple[Callable[[Path, Any], str], st.SearchStrategy[Any]]
JSONS = mutated(json.dumps(ROWS).encode()) | POOL_ROWS.map(lambda rows: json.dumps(rows).encode())
PARQUETS = st.deferred(lambda: mutated(*parquets())) | tables()
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
EXAMPLES = mutated(jsonl_of([{"question": "a?", "answer": "b"}, {"messages": TURNS}]))
ROLLOUTS = objects(
    *("id", "prompt", "completion", "completions", "completion_ids", "finish_reason", "correct", "scored"),
)
JUDGED = objects("prompt", "completion", "answer", "messages")
READERS: dict[str, Reader] = {
    "jsonl": (_pool, st.tuples(packed("jsonl", mutated(JSONL) | POOL_ROWS.map(jsonl_of)), COLUMNS)),
    "json": (_pool, st.tuples(packed("json", JSONS), COLUMNS)),
    "csv": (_pool, st.tuples(packed("csv", mutated(CSV)), COLUMNS)),
    "parquet": (_pool, st.tuples(st.tuples(st.just("p.parquet"), PARQUETS), COLUMNS)),
    "directory": (_directory, DIRECTORIES),
    "saved": (_saved, damaged()),
    "config": (_config, YAMLS),
    "set": (_sets, SETS),
    "test set": (_test_set, YAMLS | mutated(b"data: {path: demo}\neval: {metric: pass@1}\nverifier: math\n")),
    "few-shot": (_few_shot, packed("jsonl", EXAMPLES)),
    "imports": (_imports, mutated(jsonl_of(COMPLETIONS)) | st.lists(ROLLOUTS, max_size=3).map(jsonl_of)),
    "completions": (_completions, mutated(jsonl_of(COMPLETIONS[:2])) | st.lists(JUDGED, max_size=3).map(jsonl_of)),
}


def try_examples(reader: str, number: int, start: int = 0) -> Counter[str]:
    """Feed a reader with `number` examples; how many were read and refused. An example that does neither is an error."""
    check, examples = READERS[reader]
    outcomes: Counter[str] = Counter()

    @seed(start)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(examples)
    def run(example: Any) -> None:
        folder = Path(tempfile.mkdtemp())
        try:
            outcomes[one_line(lambda: check(folder, example))] += 1
        finally:
            shutil.rmtree(folder)

    run()
    return outcomes


def fuzz(reader: str, seconds: float) -> dict[str, int]:
    """Feed a reader for some time; how many examples were read and refused."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for start in itertools.count():
        outcomes += try_examples(reader, 200, start)
        if time.monotonic() >= end:
            return dict(outcomes)
    raise AssertionError("unreachable")
