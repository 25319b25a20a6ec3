"""Reading a pool in batches gives what reading it row by row would: ids, order, duplicates, conflicts, reasons."""

import csv
import hashlib
import json
import random
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign import batches, pool_rows, tokenised
from learnalign.checks import check
from learnalign.config import DataConfig
from learnalign.errors import InputError
from learnalign.plan import plan
from learnalign.policy import load_tokenizer, prompt_ids
from learnalign.pool_table import Prompts, each, packed, schema
from learnalign.prompts import load_prompts, read_pool, stored_tokens
from learnalign.rollouts import load_rollouts, rollout
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet
from learnalign.signals import signal
from learnalign.tokenised import asked_ids
from tests.tiny import make_config, make_run

Row = dict[str, Any]
QUESTIONS = ["a?", "b?", " a?\n", "wie groß?", 'say "hi"', "\\frac", "c\td", "1 + 1?", "x" * 300, "tab\u3000"]
GOLDS = ["1", 1, "1.0", "$1$", 2, "2", "two", " two ", 2.5, True]
ODD: list[Row] = [
    {"question": "no gold"},
    {"question": None, "answer": 1},
    {"question": " ", "answer": 1},
    {"question": 5, "answer": 1},
    {"question": "list?", "answer": [3]},
    {"question": "lists?", "answer": [1, 2]},
    {"question": "half \ud800", "answer": 1},
    {"question": "object?", "answer": {"value": 1}},
    {"question": [{"role": "user", "content": "turns?"}], "answer": 7, "why": 5},
    {"answer": 1, "other": {"deep": [1, {"x": None}]}},
]


def awkward(seed: int, count: int = 60) -> list[Row]:
    """Plain rows with many duplicates, and runs of odd ones between them."""
    draw = random.Random(seed)
    rows: list[Row] = []
    while len(rows) < count:
        question = draw.choice(QUESTIONS) if draw.random() < 0.5 else f"{draw.random()}?"
        rows.append({"question": question, "answer": draw.choice(GOLDS), "n": draw.randrange(9), "why": None})
        if draw.random() < 0.3:
            rows[-1]["why"] = draw.choice(["so", "half \udc00"])
        if draw.random() < 0.2:
            rows.append(draw.choice(ODD))
    return rows


def reference(rows: list[Row], lines: list[int | None]) -> tuple[list[list[Any]], list[list[Any]]]:
    """Prompts (id, row, messages, answer, solution) and rows left out (row, line, id, reason), by the simplest code."""
    firsts: dict[str, list[Any]] = {}
    golds: dict[str, list[str]] = {}
    out: list[list[Any]] = []
    for place, (row, line) in enumerate(zip(rows, lines, strict=True)):
        reason, messages, gold = _look_at(row)
        why = row.get("why") if isinstance(row.get("why"), str) else None
        if reason is None and why and "\udc00" in why:
            reason = "half a surrogate pair in the solution ('\\udc00')"
        if reason:
            out.append([place, line, None, reason])
            continue
        asked = json.dumps([{**m, "content": m["content"].strip()} for m in messages], ensure_ascii=False)
        id = hashlib.sha256(asked.encode()).hexdigest()[:16]
        if id in firsts:
            out.append([place, line, id, f"duplicate of row {firsts[id][1]}"])
        firsts.setdefault(id, [id, place, messages, gold, why])
        golds.setdefault(id, []).append(gold)
    for id, texts in golds.items():
        if len({_number(text) for text in texts}) > 1:
            differing = sorted({texts[0], *(text for text in texts if _number(text) != _number(texts[0]))})
            listed = ", ".join(map(repr, differing))
            place = firsts.pop(id)[1]
            out.append([place, lines[place], id, f"conflicting answers of its duplicates: {listed}"])
    return list(firsts.values()), sorted(out)


def _look_at(row: Row) -> tuple[str | None, list[dict[str, str]], str]:
    asked, gold = row.get("question"), row.get("answer")
    if asked is None:
        return "no prompt in column 'question'", [], ""
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list):
        return "the prompt in column 'question' is neither text nor a list of messages with role and content", [], ""
    if "\ud800" in asked[-1]["content"]:
        return "half a surrogate pair in the prompt ('\\ud800')", [], ""
    if not asked[-1]["content"].strip():
        return "empty prompt", [], ""
    if isinstance(gold, list) and len(gold) == 1:
        gold = gold[0]
    if gold is None:
        return "no answer in column 'answer'", [], ""
    if isinstance(gold, list | dict):
        kind = "list" if isinstance(gold, list) else "JSON object"
        return f"the answer in column 'answer' is a {kind}, not text or a number", [], ""
    return None, asked, "true" if gold is True else str(gold).strip()


def _number(text: str) -> Any:
    try:
        return Decimal(text.strip("$"))
    except InvalidOperation:
        return text


def write(path: Path, rows: list[Row]) -> list[int | None]:
    """A file of the rows; the lines at which they begin, if it has lines. A JSONL file has blank lines, too."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
        return [None] * len(rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
        return [None] * len(rows)
    lines = [1 + i + i // 5 for i in range(len(rows))]
    texts = [json.dumps(row) + ("\n \n" if i % 5 == 4 else "\n") for i, row in enumerate(rows)]
    path.write_text("".join(texts))
    return list(lines)


@pytest.fixture(params=[(2048, 512), (7, 5), (3, 1), (5, 64)])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several groups and batches, of few rows."""
    monkeypatch.setattr(pool_rows, "ROWS", request.param[0])
    monkeypatch.setattr(batches, "_TOGETHER", request.param[1])


def fields(prompts: Any) -> list[list[Any]]:
    return [[p.id, p.row, p.messages, p.answer, p.solution] for p in prompts]


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
@pytest.mark.parametrize("seed", range(4))
def test_batches_give_what_single_rows_do(suffix: str, seed: int, tmp_path: Path) -> None:
    rows, path = awkward(seed), tmp_path / f"pool.{suffix}"
    expected = reference(rows, write(path, rows))
    prompts, left_out, count = read_pool(DataConfig(path=str(path), prompt="question", answer="answer", solution="why"))
    assert count == len(rows)
    assert fields(prompts) == expected[0]
    assert sorted([one.row, one.line, one.id, one.reason] for one in left_out) == expected[1]
    assert [json.loads(prompt.source) for prompt in prompts] == [rows[prompt.row] for prompt in prompts]


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_give_what_single_rows_do(suffix: str, tmp_path: Path) -> None:
    draw, path = random.Random(suffix), tmp_path / f"pool.{suffix}"
    rows = [{"question": draw.choice(QUESTIONS), "answer": draw.choice(["1", "1.0", "2", ""])} for _ in range(40)]
    rows += [{"question": f"{i}?", "answer": "3"} for i in range(20)]
    lines: list[int | None] = [None] * len(rows)
    if suffix == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["question", "answer"], *([*row.values()] for row in rows)])
        starts = [2]
        for row in rows:
            starts.append(starts[-1] + 1 + row["question"].count("\n"))
        lines = list(starts[:-1])
    else:
        write(path, rows)
    given = [{name: value for name, value in row.items() if value or suffix == "parquet"} for row in rows]
    expected = reference([{**row, "answer": row.get("answer") or None} for row in given], lines)
    prompts, left_out, _ = read_pool(DataConfig(path=str(path), prompt="question", answer="answer"))
    assert fields(prompts) == expected[0]
    assert sorted([one.row, one.line, one.id, one.reason] for one in left_out) == expected[1]
    assert [json.loads(prompt.source) for prompt in prompts] == [rows[prompt.row] for prompt in prompts]


@pytest.mark.usefixtures("sizes")
def test_a_stored_pool_is_the_pool_that_was_read(tmp_path: Path) -> None:
    rows = [row for row in awkward(9, 40) if row not in ODD] + [{"question": "too long " * 300, "answer": 1}]
    write(tmp_path / "p.jsonl", rows)
    data = {"path": str(tmp_path / "p.jsonl"), "prompt": "question", "answer": "answer", "solution": "why"}
    config = make_config(tmp_path, data=data, verifier="exact")
    run = RunDir.create(tmp_path / "run", config)
    stored, (read, left_out, count) = load_prompts(run), read_pool(config.data)
    kept = [prompt for prompt in read if not prompt.messages[0]["content"].startswith("too long")]
    assert list(stored) == kept
    assert len(kept) == len(read) - 1
    assert len(stored) + len(run.quarantined()) == count
    assert [line["row"] for line in run.quarantined()] == sorted([*(one.row or 0 for one in left_out), len(rows) - 1])
    assert [*each(stored, "source")] == [prompt.source for prompt in kept]
    table = pq.read_table(run.prompts_file)
    assert table.schema.names[:6] == schema().names
    assert table["id"].to_pylist() == stored.ids


def test_stored_tokens_are_those_of_single_prompts(tmp_path: Path) -> None:
    rows = [{"question": "12 + " * (i % 40) + f"{i}?", "answer": "1"} for i in range(700)]
    write(tmp_path / "p.jsonl", rows)
    data = {"path": str(tmp_path / "p.jsonl"), "prompt": "question", "answer": "answer", "max_prompt_tokens": 100}
    run = RunDir.create(tmp_path / "run", make_config(tmp_path, data=data, verifier="exact"))
    prompts, tokenizer = load_prompts(run), load_tokenizer(run.config)
    single = {prompt.id: len(prompt_ids(tokenizer, prompt.messages)) for prompt in read_pool(run.config.data)[0]}
    assert stored_tokens(prompts) == {prompt.id: single[prompt.id] for prompt in prompts}
    assert asked_ids(prompts, 0, len(prompts), tokenizer) == [prompt_ids(tokenizer, p.messages) for p in prompts]
    assert {line["id"] for line in run.quarantined()} == {id for id, count in single.items() if count > 100}
    assert 0 < len(prompts) < len(rows)


def test_a_pool_of_an_earlier_version_is_read_without_its_tokens(tmp_path: Path) -> None:
    run = make_run(tmp_path, 5)
    prompts = list(load_prompts(run))
    former = pq.read_table(run.prompts_file).drop_columns(["tokens", "prompt_ids"])
    write_parquet(run.prompts_file, former, run.fingerprint("pool"))
    again = RunDir.open(run.path)
    assert list(load_prompts(again)) == prompts
    assert again.stale() == []
    assert stored_tokens(load_prompts(again)) is None
    tokenizer = load_tokenizer(run.config)
    assert asked_ids(load_prompts(again), 1, 4, tokenizer) == [prompt_ids(tokenizer, p.messages) for p in prompts[1:4]]
    check(again.config, ["warmup"], load_prompts(again), run=again)


def test_what_is_prepared_is_not_tokenised_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, 7, executor={"shard_size": 3})
    expected, done = plan(run.config, ["grad"]), load_prompts(run)
    monkeypatch.setattr(tokenised, "prompt_text", lambda *_: pytest.fail("a prompt was rendered again"))
    monkeypatch.setattr(tokenised, "prompt_ids", lambda *_: pytest.fail("a prompt was tokenised again"))
    assert plan(run.config, ["grad"], run=run) == expected
    rollout(run, anyway=True)
    signal(run, ["length"])
    tokenizer = load_tokenizer(run.config)
    ids = {one.id: one.prompt_ids for shard in run.shards() for one in load_rollouts(run, shard)}
    assert ids == {prompt.id: prompt_ids(tokenizer, prompt.messages) for prompt in done}


def test_dry_run_of_a_pool_whose_source_has_changed_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, 5)
    load_prompts(run)
    with Path(run.config.data.path).open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match="has changed since"):
        plan(run.config, ["grad"], run=run)


def test_ids_are_read_without_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = make_run(tmp_path, 5), list[Any]()
    ids = [prompt.id for prompt in load_prompts(run)]
    read = pq.ParquetFile.read_row_group

    def noted(file: pq.ParquetFile, group: int, columns: Any, **more: Any) -> pa.Table:
        asked.append(columns)
        return read(file, group, columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    prompts = load_prompts(run)
    assert (len(prompts), prompts.ids, prompts.column("row").to_pylist()) == (5, ids, [*range(5)])
    assert asked == [["id"], ["row"]]


def test_a_row_is_left_out_once(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write(path, [{"question": "a?", "answer": "1"}, {"question": "long " * 600, "answer": "\\frac{"}])
    config = make_config(tmp_path, data={"path": str(path), "prompt": "question", "answer": "answer"}, verifier="math")
    run = RunDir.create(tmp_path / "run", config)
    assert len(load_prompts(run)) == 1
    assert [line["row"] for line in run.quarantined()] == [1]


def test_a_question_whose_first_id_was_taken_is_kept_with_another(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    rows = [{"question": q, "answer": "1", "id": id} for q, id in (("a?", 5), ("b?", 5), ("b?", 6), ("b?", 7))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts, left_out, _ = read_pool(DataConfig(path=str(path), prompt="question", answer="answer", id="id"))
    assert [(prompt.id, prompt.row) for prompt in prompts] == [("5", 0), ("6", 2)]
    assert [(one.row, one.reason) for one in left_out] == [
        (1, "its id is that of row 0, another prompt"),
        (3, "duplicate of row 2"),
    ]


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("line", ["{", '{"question": "a?", "question": "b?"}', "[1]", '{"a": 1} {"b": 2}', "\ufeff{}"])
def test_a_malformed_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    write(path, awkward(1))
    with path.open("a") as file:
        file.write(line)
    number = len(path.read_text().splitlines())
    with pytest.raises(InputError, match=rf"pool\.jsonl, line {number}: .*; every line must be one JSON object"):
        read_pool(DataConfig(path=str(path), prompt="question", answer="answer"))


def test_prompts_are_a_sequence_whatever_their_groups_are(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": str(i)} for i in range(25)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = read_pool(DataConfig(path=str(tmp_path / "pool.jsonl"), prompt="question", answer="answer"))[0]
    (table,) = whole.groups()
    split = Prompts.of([packed(part) for part in (table[:0], table[:4], table[4:5], table[5:])])
    listed = list(whole)
    assert list(split) == listed
    assert split[3:11] == listed[3:11]
    assert split[::-7] == listed[::-7]
    assert [split[i] for i in (-1, 0, 4, 24)] == [listed[i] for i in (-1, 0, 4, 24)]
    assert split.take([9, 2, 9]) == [listed[9], listed[2], listed[9]]
    assert split.named([listed[7].id, listed[1].id]) == [listed[7], listed[1]]
    assert list(split.without([listed[0].id, listed[20].id])) == listed[1:20] + listed[21:]
    with pytest.raises(IndexError):
        split[25]
