"""What needs no text of the prompts reads none: their columns of prompts.parquet and of the rollouts stay on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from learnalign.gradients import grad
from learnalign.prompts import load_prompts
from learnalign.rollouts import import_rollouts
from learnalign.rundir import RunDir
from learnalign.selection import compare, select
from learnalign.summary import summarise
from tests.tiny import make_run

TEXT = {"messages", "answer", "solution", "source"}
Read = Callable[[], tuple[set[str], set[str]]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("run")
    made = make_run(folder, 6, grad={"dim": 64, "beta": 0.0}, warmup={"size": 0}, select={"size": 2})
    rows = [{"id": prompt.id, "completions": [prompt.answer, "no"]} for prompt in load_prompts(made)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_rollouts(made, folder / "mine.jsonl")
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The columns that have been read since of prompts.parquet, which is read in groups of rows, and of the other tables."""
    pool, others = set[str](), set[str]()
    group, whole = pq.ParquetFile.read_row_group, pq.ParquetFile.read

    def of_group(file: pq.ParquetFile, number: int, names: Any = None, **more: Any) -> Any:
        pool.update(names or file.schema_arrow.names)
        return group(file, number, names, **more)

    def of_file(file: pq.ParquetFile, names: Any = None) -> Any:
        others.update(names or file.schema_arrow.names)
        return whole(file, names)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", of_group)
    monkeypatch.setattr(pq.ParquetFile, "read", of_file)
    return lambda: (pool, others)


def test_gradients_take_tokens(run: RunDir, read: Read) -> None:
    grad(run)
    pool, others = read()
    assert {"prompt_ids", "completion_ids"} <= others
    assert "text" not in others
    assert not pool & TEXT


def test_status_counts(run: RunDir, read: Read) -> None:
    summarise(run)
    pool, others = read()
    assert "text" not in others
    assert not pool & TEXT


def test_chosen_methods_are_compared_by_numbers(run: RunDir, read: Read) -> None:
    compare(run, 2)
    pool, others = read()
    pool.clear()
    others.clear()
    compare(run, 2)
    assert "id" in pool
    assert "text" not in others
    assert not pool & TEXT


def test_choosing_reads_the_sources_columns_and_no_completion(run: RunDir, read: Read) -> None:
    select(run)
    pool, others = read()
    assert "source" in pool
    assert "text" not in others
