"""Rollouts from a file: matched to the pool and judged; lines that match no prompt are reported."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.errors import InputError
from learnalign.policy import load_tokenizer
from learnalign.prompts import Prompt, load_prompts
from learnalign.rollouts import import_rollouts, load_rollouts, rollout, stage
from learnalign.rundir import RunDir
from tests.tiny import make_run


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return make_run(tmp_path)


@pytest.fixture
def pool(run: RunDir) -> list[Prompt]:
    return load_prompts(run)


def write(run: RunDir, rows: list[Any]) -> Path:
    file = run.path.parent / "mine.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def success(run: RunDir) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(run.success_file).to_pylist()}


def test_completions_by_id_and_by_text_are_judged_by_the_runs_verifier(run: RunDir, pool: list[Prompt]) -> None:
    rows = [
        {"id": pool[0].id, "completion": pool[0].answer},
        {"prompt": pool[0].messages[0]["content"], "completion": "wrong"},
        {
            "prompt": [{"role": "system", "content": "Think."}, *pool[1].messages],
            "completions": [pool[1].answer, "no", ""],
        },
    ]
    result = import_rollouts(run, write(run, rows))
    rows_by_id = success(run)
    assert (rows_by_id[pool[0].id]["correct"], rows_by_id[pool[0].id]["scored"]) == (1, 2)
    assert (rows_by_id[pool[1].id]["correct"], rows_by_id[pool[1].id]["scored"]) == (1, 3)
    assert (result.rows, result.unmatched, result.without_rollouts, result.retokenised) == (3, {}, 10, 5)
    assert result.rollouts.fewer_scored == {pool[0].id: 2}
    rows_of = [one for shard in run.shards() for one in load_rollouts(run, shard)]
    expected = [(pool[0].id, 0), (pool[0].id, 1), *[(pool[1].id, sample) for sample in range(3)]]
    assert [(one.id, one.sample) for one in rows_of] == expected
    tokenizer = load_tokenizer(run.config)
    assert rows_of[1].completion_ids == [*tokenizer("wrong")["input_ids"], tokenizer.eos_token_id]


def test_reasoning_within_the_named_tags_is_not_judged(tmp_path: Path) -> None:
    run = make_run(tmp_path, data={"reasoning_tags": ["scratch"]})
    [first, *_] = load_prompts(run)
    texts = [f"<scratch>x</scratch>{first.answer}", f"<scratch>{first.answer}</scratch>"]
    import_rollouts(run, write(run, [{"id": first.id, "completions": texts}]))
    assert (success(run)[first.id]["correct"], success(run)[first.id]["scored"]) == (1, 2)


def test_a_prompt_matches_in_parts_and_with_other_white_space_around_it(run: RunDir, pool: list[Prompt]) -> None:
    question = pool[0].messages[0]["content"]
    parts = [{"role": "user", "content": [{"type": "text", "text": question}]}]
    rows = [{"prompt": prompt, "completion": pool[0].answer} for prompt in (f"{question}\n", parts)]
    assert import_rollouts(run, write(run, rows)).unmatched == {}


def test_half_a_surrogate_pair_in_a_completion_is_stored_as_no_character(run: RunDir, pool: list[Prompt]) -> None:
    file = write(run, [])
    rows = [{"id": pool[0].id, "completion": "a \ud800"}, {"id": "\ud800", "completion": "b"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(import_rollouts(run, file).unmatched) == [2]
    assert next(one.text for shard in run.shards() for one in load_rollouts(run, shard)).startswith("a \ufffd")


def test_given_tokens_are_kept_exactly(run: RunDir, pool: list[Prompt]) -> None:
    tokenizer = load_tokenizer(run.config)
    ids = [*tokenizer(pool[0].answer)["input_ids"], tokenizer.eos_token_id]
    rows = [
        {"id": pool[0].id, "completion_ids": ids},
        {"id": pool[0].id, "completion_ids": [65, 66], "completion": pool[0].answer, "finish_reason": "length"},
        {"id": pool[0].id, "completion": "x", "finish_reason": "length"},
    ]
    assert import_rollouts(run, write(run, rows)).retokenised == 1
    first, second, third = load_rollouts(run, run.shards()[0])
    assert (first.completion_ids, first.text, first.reward) == (ids, pool[0].answer, 1.0)
    assert (second.completion_ids, second.finish_reason, second.reward) == ([65, 66], "length", 1.0)
    assert third.completion_ids == tokenizer("x")["input_ids"]


def test_counts_alone_give_success_rates(run: RunDir, pool: list[Prompt]) -> None:
    rows = [{"id": prompt.id, "correct": i % 5, "scored": 4} for i, prompt in enumerate(pool)]
    result = import_rollouts(run, write(run, rows))
    rows_by_id = success(run)
    assert [rows_by_id[prompt.id]["success_rate"] for prompt in pool] == [i % 5 / 4 for i in range(12)]
    assert result.rollouts.counts["samples"] == 48
    assert not any(load_rollouts(run, shard) for shard in run.shards())


def test_unmatched_lines_are_reported_and_prompts_without_rollouts_are_left_out(
    run: RunDir, pool: list[Prompt]
) -> None:
    rows = [
        {"id": "unknown", "completion": "5"},
        {"prompt": "Who?", "completion": "5"},
        {"id": "unknown", "prompt": pool[2].messages[0]["content"], "completion": "5"},
    ]
    file = write(run, rows)
    result = import_rollouts(run, file)
    assert result.unmatched == {1: "no prompt of the pool has the id unknown", 2: "no prompt of the pool has its text"}
    left_out = {line["id"]: line["reason"] for line in run.quarantined() if line["stage"] == "rollout"}
    assert left_out == {prompt.id: f"no rollouts of it in {file}" for prompt in pool if prompt.id != pool[2].id}
    entry = run.read_record()["stages"]["rollout"]
    assert (entry["unmatched"], entry["rows"], entry["counts"]["left_out"]) == (2, 3, 11)


def test_nothing_is_sampled_afterwards(run: RunDir, pool: list[Prompt], monkeypatch: pytest.MonkeyPatch) -> None:
    import_rollouts(run, write(run, [{"id": pool[0].id, "completion": "5"}]))
    monkeypatch.setattr(stage, "RolloutWorker", lambda *_: pytest.fail("an engine was opened"))
    before = run.success_file.read_bytes()
    rollout(run)
    assert run.success_file.read_bytes() == before


def test_stored_rollouts_are_not_overwritten(run: RunDir, pool: list[Prompt]) -> None:
    file = write(run, [{"id": pool[0].id, "completion": "5"}])
    first = import_rollouts(run, file)
    stored = run.rollouts_file(run.shards()[0]).read_bytes()
    assert import_rollouts(run, file) == first
    assert run.rollouts_file(run.shards()[0]).read_bytes() == stored
    other = write(run, [{"id": pool[0].id, "completion": "6"}])
    with pytest.raises(InputError, match=rf"came from {file}.*--from {file}.*--overwrite"):
        import_rollouts(run, other)


def test_an_import_that_was_killed_is_completed_and_never_mixed_with_samples(run: RunDir, pool: list[Prompt]) -> None:
    file = write(run, [{"id": prompt.id, "completion": "5"} for prompt in pool])
    import_rollouts(run, file)
    last = run.rollouts_file(run.shards()[-1])
    stored = last.read_bytes()
    last.unlink()
    with pytest.raises(InputError, match=f"--from {file}"):
        rollout(run)
    import_rollouts(run, file)
    assert last.read_bytes() == stored


def test_unusual_line_breaks_inside_a_text_do_not_split_a_line(run: RunDir, pool: list[Prompt]) -> None:
    text = "a\u2028b\x0bc"
    import_rollouts(run, write(run, [{"id": pool[0].id, "completion": text}]))
    assert load_rollouts(run, run.shards()[0])[0].text == text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"completion": "5"}, "line 1 names no prompt; give `id` or `prompt`"),
        ({"id": "ID"}, "line 1 needs a `completion`"),
        ({"id": "ID", "correct": 5, "scored": 4}, "correct ≤ scored"),
        ({"id": "ID", "correct": True, "scored": 4}, "whole numbers"),
        ({"id": "ID", "completion": 5}, "line 1 needs a `completion`"),
        ({"id": "ID", "completions": ["a", 5]}, "line 1 needs a `completion`"),
        ({"id": "ID", "completion_ids": ["a"]}, "completion_ids is not a list of token ids"),
        ({"id": "ID", "completion": "a", "finish_reason": "abort"}, "not stop or length"),
        ({"id": "ID", "completion_ids": [10**30]}, "completion_ids is not a list of token ids"),
        ({"id": "ID", "completion_ids": [1, 5000]}, "has token id 5000, but the tokenizer has 259 tokens"),
        ({"id": "ID", "correct": 10**30, "scored": 10**30}, "whole numbers"),
        ({"id": ["a" * 5000], "correct": 1, "scored": 1}, 'no prompt of the pool has the id ["aaa'),
        ({"prompt": {"role": "user"}, "completion": "a"}, "prompt is neither text nor a list of messages"),
        ({"prompt": [{"role": ["user"], "content": "a"}], "completion": "a"}, "prompt is neither text nor a list"),
        ({"prompt": 5, "completion": "a"}, "prompt is neither text nor a list of messages"),
        ({"prompt": "Who?", "completion": "a"}, "none of its 1 row matches a prompt of the pool (line 1"),
    ],
)
def test_a_wrong_line_is_named(run: RunDir, pool: list[Prompt], row: dict[str, Any], message: str) -> None:
    file = write(run, [{key: pool[0].id if value == "ID" else value for key, value in row.items()}])
    with pytest.raises(InputError) as error:
        import_rollouts(run, file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert not run.success_file.exists()


def test_counts_twice_or_beside_completions_are_refused(run: RunDir, pool: list[Prompt]) -> None:
    counts = {"id": pool[0].id, "correct": 1, "scored": 4}
    with pytest.raises(InputError, match="line 2: prompt .* has counts twice"):
        import_rollouts(run, write(run, [counts, counts]))
    with pytest.raises(InputError, match="line 2: prompt .* has completions and counts"):
        import_rollouts(run, write(run, [counts, {"id": pool[0].id, "completion": "5"}]))


def test_a_file_may_have_a_bom_and_be_compressed(run: RunDir, pool: list[Prompt]) -> None:
    row = json.dumps({"id": pool[0].id, "completion": pool[0].answer})
    file = run.path.parent / "mine.jsonl.gz"
    file.write_bytes(gzip.compress(f"\ufeff{row}\r\n".encode()))
    assert import_rollouts(run, file).rows == 1
    assert success(run)[pool[0].id]["correct"] == 1


def test_parquet_gives_what_its_rows_give_as_lines(run: RunDir, pool: list[Prompt]) -> None:
    rows: list[dict[str, Any]] = [
        {"id": pool[0].id, "completion": pool[0].answer, "finish_reason": "length"},
        {"id": "other", "completion": "7"},
        {"prompt": pool[1].messages, "completions": [pool[1].answer, "no"]},
        {"id": pool[2].id, "completion_ids": [5, 6]},
        {"id": pool[3].id, "correct": 2, "scored": 4},
    ]
    file = run.path.parent / "mine.parquet"
    pd.DataFrame(rows).to_parquet(file)
    assert pq.read_schema(file).field("scored").type == pa.float64()
    result = import_rollouts(run, file)
    assert (result.rows, result.retokenised) == (5, 3)
    assert result.unmatched == {1: "no prompt of the pool has the id other"}  # rows count from 0
    by_parquet, rollouts = success(run), [load_rollouts(run, shard) for shard in run.shards()]
    lines = make_run(run.path.parent / "lines")
    import_rollouts(lines, write(lines, rows))
    assert (success(lines), [load_rollouts(lines, shard) for shard in lines.shards()]) == (by_parquet, rollouts)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"mine.parquet: not a Parquet file, or damaged"):
        import_rollouts(make_run(run.path.parent / "damaged"), file)


@pytest.mark.parametrize("id", [True, 7, 1.5])
def test_an_id_is_matched_as_the_pool_writes_it(id: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path, data={"id": "id"})
    Path(run.config.data.path).write_text(json.dumps({"question": "a?", "answer": "1", "id": id}) + "\n")
    load_prompts(run)
    assert import_rollouts(run, write(run, [{"id": id, "correct": 1, "scored": 2}])).unmatched == {}


@pytest.mark.parametrize("content", [b"", b"[1]\n", b"{\n", b"\xff\xfe", b"[" * 10_000, b'{"id": 1, "id": 2}'])
def test_a_file_that_is_not_jsonl_is_refused(run: RunDir, content: bytes) -> None:
    file = run.path.parent / "mine.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError, match="--from"):
        import_rollouts(run, file)
    with pytest.raises(InputError, match="no such file"):
        import_rollouts(run, run.path / "nothing.jsonl")


def test_the_command_reports_the_lines_that_it_could_not_use(run: RunDir, pool: list[Prompt]) -> None:
    rows: list[dict[str, Any]] = [{"id": prompt.id, "correct": 1, "scored": 4} for prompt in pool[1:]]
    rows += [{"id": f"other {i}", "correct": 1, "scored": 2} for i in range(7)]
    file = write(run, rows)
    command = [sys.executable, "-m", "learnalign_cli", "rollout", str(run.path), "--from", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{file}: line 12: no prompt of the pool has the id other 0" in done.stderr
    assert "and 2 more lines that match no prompt" in done.stderr
    assert "1 prompt of the pool has no rollouts in the file" in done.stderr
    answer = json.loads(done.stdout)
    assert answer["imported"]["rows"] == 18
    assert len(answer["imported"]["unmatched"]) == 7
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert json.loads(again.stdout)["success"] == answer["success"]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_refused_before_it_is_read(make: Any, run: RunDir, pool: list[Prompt]) -> None:
    path = run.path.parent / "mine.jsonl"
    make(path)
    with pytest.raises(InputError, match=r"--from .*mine\.jsonl: "):
        import_rollouts(run, path)
