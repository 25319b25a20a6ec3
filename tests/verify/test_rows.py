"""`learnalign verify`: reads a file of completions, writes the same rows with rewards."""

import gzip
import json
import math
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from learnalign.errors import InputError
from learnalign.verify.rows import verify_file
from learnalign_cli.common import guarded
from learnalign_cli.verify import verify

ROWS = [
    {"id": 1, "completion": r"So \boxed{5}", "answer": "5", "more": {"a": [1, None, "ü"]}},
    {"id": 2, "completion": "The answer is 5.", "answer": "5"},
    {"id": 3, "completion": r"\boxed{6}", "answer": "5"},
    {"id": 4, "completion": r"\boxed{6}", "answer": ""},
    {"id": 5, "completion": "half a pair \ud800", "answer": "5"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "completions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n\n" for row in ROWS), encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(guarded(verify))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_rows_are_written_whole_and_in_order_with_reward_and_reason(file: Path) -> None:
    result = run(file)
    assert result.exit_code == 0
    rows = lines(result.stdout)
    assert [row.pop("reward") for row in rows] == [1.0, 1.0, 0.0, None, 0.0]
    assert all(row.pop("reason") for row in rows)
    assert all("read" in row for row in rows)
    assert [{key: value for key, value in row.items() if key != "read"} for row in rows] == ROWS
    assert "correct" in result.stderr


def test_two_verifiers_show_their_disagreements(file: Path) -> None:
    result = run(file, "--verifier", "math", "--verifier", "boxed")
    assert [(row["reward"], row["reward_2"]) for row in lines(result.stdout)][:3] == [
        (1.0, 1.0),
        (1.0, 0.0),
        (0.0, 0.0),
    ]
    assert "disagree on 1 row" in result.stderr
    report = verify_file(file, ["math", "boxed"], None)
    assert report.disagreements == 1
    assert report.examples[0].place == 3  # blank lines are counted, so that an editor finds the row
    assert report.patterns == {(1.0, 1.0): 1, (1.0, 0.0): 1, (0.0, 0.0): 2, (None, None): 1}


def test_the_tables_are_on_stderr_and_show_brackets_and_long_words_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    gold = "[red]" + 50 * "x"
    path.write_text(json.dumps({"completion": gold, "answer": gold[::-1]}), encoding="utf-8")
    result = run(path, "--verifier", "exact", "--verifier", "gsm8k", "--verifier", "math", "--verifier", "literal")
    assert lines(result.stdout)[0]["reward"] == 0.0
    assert "[red]xxx" in result.stderr
    assert "…" not in result.stderr


def test_output_file_and_machine_readable_summary(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "scored.jsonl"
    result = run(file, "-o", output, "--json")
    summary = json.loads(result.stdout)
    assert summary["rows"] == 5
    assert summary["verifiers"][0] == {
        "verifier": "math",
        "correct": 2,
        "wrong": 2,
        "unscorable": 1,
        "unscorable_reasons": {"the gold answer is empty": 1},
    }
    assert [row["reward"] for row in lines(output.read_text(encoding="utf-8"))] == [1.0, 1.0, 0.0, None, 0.0]


def test_columns_have_other_names_or_are_nested(tmp_path: Path) -> None:
    path = tmp_path / "verl.jsonl"
    row = {"text": "#### 5", "reward_model": {"ground_truth": "5"}, "a.b": "6"}
    path.write_text(json.dumps(row), encoding="utf-8")
    columns = ["--completion", "text", "--answer", "reward_model.ground_truth", "--verifier", "gsm8k"]
    assert lines(run(path, *columns).stdout)[0]["reward"] == 1.0
    assert lines(run(path, *columns, "--answer", "a.b").stdout)[0]["reward"] == 0.0


def test_a_file_may_have_a_bom_and_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf{"completion": "1", "answer": "1"}\r\n'))
    assert [row["reward"] for row in lines(run(path, "--verifier", "exact").stdout)] == [1.0]


def test_rows_of_a_parquet_file_are_counted_from_0(tmp_path: Path) -> None:
    path = tmp_path / "completions.parquet"
    rows = [{"text": text, "reward_model": {"ground_truth": "5"}, "score": math.nan} for text in ("#### 5", "#### 6")]
    pq.write_table(pa.Table.from_pylist(rows), path)
    columns = ["--completion", "text", "--answer", "reward_model.ground_truth", "--verifier", "gsm8k"]
    assert [row["reward"] for row in lines(run(path, *columns).stdout)] == [1.0, 0.0]
    report = verify_file(path, ["gsm8k", "literal"], None, "text", "reward_model.ground_truth")
    assert (report.places, [each.place for each in report.examples]) == ("row", [0])
    pq.write_table(pa.Table.from_pylist([*rows, {"text": None}]), path)
    result = run(path, *columns)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "row 2: column 'text' is a null, not a string" in result.stderr
    result = run(path, *columns, "-o", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "rows are written as lines of JSON; give a name that ends in .jsonl" in result.stderr
    packed = path.with_name("completions.parquet.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert "compressed Parquet; unpack it" in run(packed, *columns).stderr
    path.write_bytes(path.read_bytes()[:-9])
    result = run(path, *columns)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "not a Parquet file, or damaged" in result.stderr


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("/dev/zero")]
)
def test_what_is_no_file_is_refused_before_it_is_read(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "c.jsonl")
    result = run(tmp_path / "c.jsonl")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"completion": "1", "completion": "2", "answer": "1"}', "the key 'completion' is there twice"),
        (json.dumps({"c" * 10_000: 1}), "has no column 'completion'; it has 'ccc"),
        ('{"completion": "1", "answer": "1"}\n{"completion": ', "line 2: "),
        ('{"completion": "1", "answer": "1"}\n\n[1]', "line 3: this is a list"),
        ('{"completion": "1"}', "line 1 has no column 'answer'; it has 'completion': name the right one with --answer"),
        ('{"completion": 1, "answer": "1"}', "line 1: column 'completion' is a number, not a string"),
        ('{"completion": "1", "answer": null}', "line 1: column 'answer' is a null"),
        ('{"completion": ["1"], "answer": "1"}', "column 'completion' is a list"),
        ("[" * 100_000, "line 1: it is nested deeper than 100 levels"),
        (b"\xff\xfe", "line 1: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path: Path, text: str | bytes, message: str) -> None:
    path, output = tmp_path / "bad.jsonl", tmp_path / "out.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for arguments in ([], ["-o", output]):
        result = run(path, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr
        assert str(path) in result.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["bad.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl"], "no such file"),
        (["."], "is not a run directory"),
        (["{file}", "--verifier", "mth"], "did you mean math"),
    ],
)
def test_wrong_use_is_exit_code_two(file: Path, arguments: list[str], message: str) -> None:
    result = run(*(argument.replace("{file}", str(file)) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_empty_file_gives_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    result = run(path)
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_users_function_sees_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rowwise.py").write_text(
        "def judge(prompts, completions, level, **kwargs):\n"
        "    return [float(prompts[0][0]['content'] == completions[0][0]['content'] == level[0])]\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    row = {"prompt": [{"role": "user", "content": "x"}], "completion": "x", "answer": "-", "level": "x"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
    assert lines(run("rows.jsonl", "--verifier", "rowwise:judge").stdout)[0]["reward"] == 1.0


def test_python_users_get_the_same_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        verify_file(tmp_path / "none.jsonl", ["math"], None)


def test_of_programs_the_share_of_tests_that_pass_is_written(sandbox_here: None, tmp_path: Path) -> None:
    gold = json.dumps({"tests": [{"stdin": "1", "stdout": "1"}, {"stdin": "2", "stdout": "2"}]})
    rows = [{"completion": f"```python\n{program}\n```", "answer": gold} for program in ("print(input())", "print(1)")]
    rows += [{"completion": "none", "answer": gold}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines: list[str] = []
    verify_file(tmp_path / "c.jsonl", ["code", "exact"], lines.append, sandbox="local")
    written = [json.loads(line) for line in lines]
    assert [(row["reward"], row["share_passed"]) for row in written] == [(1.0, 1.0), (0.0, 0.5), (0.0, 0.0)]
    assert all("share_passed_2" not in row and row["reward_2"] == 0.0 for row in written)
