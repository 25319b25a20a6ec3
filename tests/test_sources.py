"""Rows of files and directories of every kind: the same rows, and an error that names what cannot be read."""

import csv
import datetime
import gzip
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.config import DataConfig
from learnalign.errors import InputError
from learnalign.prompts import reason_counts
from learnalign.sources import read_rows
from tests.pools import ROWS, read, write_jsonl


@pytest.fixture(
    params=[
        *(
            "jsonl",
            "json",
            "wrapped.json",
            "parquet",
            "directory",
            "parquet shards",
            "jsonl shards",
            "jsonl.gz",
            "jsonl.zst",
        ),
        *("json.gz", "compressed shards"),
    ]
)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"pool.{request.param}"
    uniform = [{**row, "gold": {"value": str(row["gold"]["value"])}} for row in ROWS]
    if request.param == "jsonl":
        return write_jsonl(path, ROWS)
    if request.param == "json":
        path.write_text(json.dumps(ROWS))
    elif request.param in ("jsonl.gz", "jsonl.zst"):
        plain = write_jsonl(tmp_path / "plain", ROWS).read_bytes()
        path.write_bytes(gzip.compress(plain) if path.suffix == ".gz" else pa.compress(plain, "zstd", asbytes=True))
    elif request.param == "json.gz":
        path.write_bytes(gzip.compress(json.dumps(ROWS).encode()))
    elif request.param == "compressed shards":
        path.mkdir()
        for name, rows in (("train-00000-of-00002", ROWS[:1]), ("train-00001-of-00002", ROWS[1:]), ("test", ROWS)):
            (path / f"{name}.jsonl.gz").write_bytes(gzip.compress(write_jsonl(tmp_path / "plain", rows).read_bytes()))
    elif request.param == "wrapped.json":
        path.write_text(json.dumps({"version": 1, "data": ROWS}))
    elif request.param == "jsonl shards":
        path.mkdir()
        write_jsonl(path / "b.jsonl", ROWS[1:])
        write_jsonl(path / "a.jsonl", ROWS[:1])
    elif request.param == "parquet shards":
        path.mkdir()
        (path / "README.md").write_text("about")
        pq.write_table(pa.Table.from_pylist(uniform[2:]), path / "train-00001-of-00002.parquet")
        pq.write_table(pa.Table.from_pylist(uniform[:2]), path / "train-00000-of-00002.parquet")
        pq.write_table(pa.Table.from_pylist(uniform), path / "test-00000-of-00001.parquet")
    elif request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(uniform), path)
    else:
        datasets.DatasetDict({"train": datasets.Dataset.from_list(uniform)}).save_to_disk(str(path))
    return path


def test_every_kind_of_source_gives_the_same_prompts(source: Path) -> None:
    prompts, left_out, count = read(source)
    assert (count, left_out) == (3, [])
    assert [(p.row, p.messages[-1]["content"], p.answer, p.solution) for p in prompts] == [
        (0, "1 + 1?", "2", "two ones"),
        (1, "2 + 2?", "4", None),
        (2, "Name 3.5", "3.5", "x"),
    ]


def test_files_of_a_split_may_be_numbered(tmp_path: Path) -> None:
    for name, row in (("test", 0), ("test2", 1), ("train", 2)):
        write_jsonl(tmp_path / f"{name}.jsonl", [ROWS[row]])
    assert [prompt.answer for prompt in read(tmp_path, split="test")[0]] == ["2", "4"]
    assert [prompt.answer for prompt in read(tmp_path)[0]] == ["3.5"]


def test_csv_rows_are_text(tmp_path: Path) -> None:
    with (tmp_path / "pool.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", "answer"], ['Say "hi", then 1 + 1\nin lines', "007"]])
    prompts, _, _ = read(tmp_path / "pool.csv", answer="answer", solution=None)
    assert (prompts[0].messages[0]["content"], prompts[0].answer) == ('Say "hi", then 1 + 1\nin lines', "007")


def test_values_of_parquet_have_one_form_in_json(tmp_path: Path) -> None:
    at = datetime.datetime(2024, 2, 29, 12, 30, 0, 5)
    columns = {
        "question": pa.array([b"wie gro\xc3\x9f?"]),
        "answer": pa.array(["2.50"]).cast(pa.decimal128(9, 2)),
        "at": pa.array([at], pa.timestamp("us", "UTC")),
        "ns": pa.array([1], pa.timestamp("ns")),
        "day": pa.array([at.date()]),
        "time": pa.array([at.time()]),
        "took": pa.array([datetime.timedelta(days=1, milliseconds=5)]),
        "image": pa.array([[b"\xff\x00"]]),
        "kind": pa.array(["x"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    ((prompt,), _, _) = read(tmp_path / "p.parquet", answer="answer", solution=None)
    assert (prompt.messages[-1]["content"], prompt.answer) == ("wie groß?", "2.50")
    assert json.loads(prompt.source) == {
        "question": "wie groß?",
        "answer": "2.50",
        "at": "2024-02-29T12:30:00.000005+00:00",
        "ns": "1970-01-01T00:00:00.000000001",
        "day": "2024-02-29",
        "time": "12:30:00.000005",
        "took": 86400.005,
        "image": [{"base64": "/wA="}],
        "kind": "x",
    }


def test_a_line_of_jsonl_is_kept_verbatim(tmp_path: Path) -> None:
    line = '{"question":  "1 + 1?", "gold": {"value": 2.50}, "é": "\\u00e9", "big": 123456789012345678901234567890}'
    (tmp_path / "pool.jsonl").write_text(line + "\n", encoding="utf-8")
    assert read(tmp_path / "pool.jsonl")[0][0].source == line


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no .parquet or .jsonl file"),
        (["README.md", ".a.parquet"], "no .parquet or .jsonl file"),
        (["a.jsonl", "b.parquet"], ".jsonl and .parquet files"),
        (["a.csv"], ".csv files"),
        (["test.jsonl", "dev.jsonl"], "data.split train"),
    ],
)
def test_a_directory_without_files_of_one_kind_is_refused(names: list[str], words: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=words):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.jsonl", "", "no rows"),
        ("p.jsonl", '{"a": 1}\n{broken\n', "line 2"),
        ("p.jsonl", "[1]\n", "line 1"),
        ("p.jsonl", '{"q": "x", "answer": 1}\n', "no column 'question'"),
        ("p.jsonl", '{"question": "x", "answer": {"a": 1}}\n', "is a JSON object"),
        ("p.json", '{"question": "x"}', "list of objects"),
        (
            "p.csv",
            "question,answer\na,b,c\n",
            "row 0 (line 2): another number of fields than the header: 3, the header has 2",
        ),
        ("p.csv", "question;answer\na;b;c\n", "3, the header has 2"),
        ("p.parquet", "nothing", "not a Parquet file"),
        ("p.txt", "x", "unknown kind of file"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read(tmp_path / name, answer="answer")
    assert words in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_a_csv_may_be_separated_by_semicolons_or_tabs(tmp_path: Path, mark: str) -> None:
    rows = [["a; b, c\td; e; f,", "answer"], ["1, 2; 3\t4?", "5"]]
    with (tmp_path / "p.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=mark).writerows(rows)
    ((prompt,), left_out, _) = read(tmp_path / "p.csv", prompt=rows[0][0], answer="answer", solution=None)
    assert (prompt.messages[0]["content"], prompt.answer, left_out) == ("1, 2; 3\t4?", "5", [])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_row_of_a_csv_with_too_few_or_many_fields_is_left_out_with_its_line_and_id(
    separator: str, tmp_path: Path
) -> None:
    text = '\nid,question,answer\na,"a, b;\nc?",1\n\nb,short\nc,c?,3\nd,long,4,5\n'
    quoted = text.replace("a, b;", "a. b.").replace(",", separator).replace("a. b.", "a, b;")
    (tmp_path / "p.csv").write_text(quoted)
    prompts, left_out, count = read(tmp_path / "p.csv", answer="answer", solution=None, id="id")
    assert ([(p.row, p.line, p.id) for p in prompts], count) == ([(0, 3, "a"), (2, 7, "c")], 4)
    assert prompts[0].messages[-1]["content"] == "a, b;\nc?"
    assert [(entry.row, entry.line, entry.id, entry.reason) for entry in left_out] == [
        (1, 6, "b", "another number of fields than the header: 2, the header has 3"),
        (3, 8, "d", "another number of fields than the header: 4, the header has 3"),
    ]
    assert reason_counts([{"reason": entry.reason} for entry in left_out]) == {
        "another number of fields than the header": 2
    }


def test_a_missing_file_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", ["pool.csv", "pool.jsonl", "pool.json"])
def test_a_file_that_is_not_utf8_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = "question,answer\nWie gro\xdf?,2\n" if name.endswith("csv") else '[{"question":"Wie gro\xdf?","answer":"2"}]'
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=rf"{name}.*can't decode byte 0xdf"):
        list(read_rows(DataConfig(path=str(path))))
