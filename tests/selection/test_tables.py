"""What a run holds, as data sets: the same rows as its files have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from learnalign.errors import InputError, RunError
from learnalign.prompts import load_prompts
from learnalign.rollouts import import_rollouts
from learnalign.rundir.files import write_parquet
from learnalign.selection import select
from tests.selection.measured import measured_run
from tests.tiny import make_run


def test_the_chosen_are_a_data_set_best_first(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0] * 4 + [4] * 20)
    result = select(run, 5)
    prompts = {prompt.id: prompt for prompt in load_prompts(run)}
    subset = [json.loads(line)["question"] for line in result.subset.read_text(encoding="utf-8").splitlines()]
    assert [prompts[id].messages[-1]["content"] for id in result.ids] == subset
    data = result.to_dataset()
    assert data["id"][:] == result.ids
    assert data["prompt"][:] == [prompts[id].messages for id in result.ids]
    assert data["answer"][:] == [prompts[id].answer for id in result.ids]
    assert sorted(data["score"][:], reverse=True) == data["score"][:]
    assert result.to_pandas()["id"].tolist() == result.ids
    assert sum(run.scores()["selected"][:]) == 5
    assert run.prompts()["id"][:] == list(prompts)
    with pytest.raises(
        RunError, match=r"random\.parquet is missing; `learnalign select .*run --method random` makes it"
    ):
        run.scores("random")
    with pytest.raises(InputError, match=r"method randon: unknown \(did you mean random\?\); known are learnalign, "):
        run.scores("randon")


def test_the_data_set_of_the_chosen_has_the_users_own_columns(tmp_path: Path) -> None:
    rows = [
        {"question": f"What is {i}?", "answer": str(i), "rank": i, "mixed": i if i % 2 else [i], "level": {"n": i}}
        for i in range(24)
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = make_run(tmp_path, data={"path": str(tmp_path / "own.jsonl"), "prompt": "question"})
    data = select(run, 5, "random").to_dataset()
    chosen = [rows[row] for row in data["row"][:]]
    assert data["question"][:] == [row["question"] for row in chosen]
    assert data["level"][:] == [row["level"] for row in chosen]
    assert data["source_rank"][:] == [row["rank"] for row in chosen]
    assert data["mixed"][:] == [json.dumps(row["mixed"]) for row in chosen]
    assert data["rank"][:] == [1, 2, 3, 4, 5]


def test_rollouts_of_all_shards_are_one_data_set_those_of_earlier_versions_too(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = [{"id": prompt.id, "completions": ["no", prompt.answer]} for prompt in load_prompts(run)]
    with pytest.raises(RunError, match="is missing"):
        run.rollouts()
    (tmp_path / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_rollouts(run, tmp_path / "given.jsonl")
    first = run.shards()[0]
    file = run.rollouts_file(first)
    write_parquet(file, pq.read_table(file).drop_columns(["answer"]), run.fingerprint("rollout"), first.rows)
    data = run.rollouts()
    assert data["id"][:] == [row["id"] for row in rows for _ in range(2)]
    assert data["reward"][:] == [0.0, 1.0] * len(rows)
    assert data["answer"][:] == [None] * 10 + [one for row in rows[5:] for one in ("no", row["completions"][1])]


def test_opening_a_run_imports_no_data_sets() -> None:
    script = "import sys, learnalign.rundir; print('datasets' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
