"""Several processes read a large file of lines as one does: prompts, order, what is left out, errors."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learnalign import pool_readers
from learnalign.batches import Batch
from learnalign.config import DataConfig
from learnalign.errors import InputError
from learnalign.pool_readers import Group, Part, parts_of, read_groups
from learnalign.pool_rows import Rows
from learnalign.pool_table import unpacked
from learnalign.prompts import read_pool
from tests.processes import children
from tests.test_pool_rows import awkward


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two processes for files of any size, in parts of few lines; none is left."""
    monkeypatch.setattr(pool_readers, "LEAST", 0)
    monkeypatch.setattr(pool_readers, "LEAST_EACH", 0)
    monkeypatch.setattr(pool_readers, "ROWS", 7)
    monkeypatch.setattr(pool_readers, "_SMALLEST", 1)
    monkeypatch.setattr(pool_readers, "_SELDOM", 0)
    monkeypatch.setattr(pool_readers, "usable_cpus", lambda: 2)
    yield
    assert not children("learnalign.pool_readers")


def both_ways(monkeypatch: pytest.MonkeyPatch, **data: Any) -> tuple[Any, Any, int]:
    """What is read by several processes and by this one, in plain values; and how many groups came from the others."""
    settings = DataConfig(**{"prompt": "question", "answer": "answer", "solution": "why", **data})
    groups: list[Group] = []
    own = Rows.add_group
    monkeypatch.setattr(Rows, "add_group", lambda rows, group: (groups.append(group), own(rows, group)))
    together = _values(settings)
    monkeypatch.setattr(pool_readers, "LEAST", 1 << 60)
    return together, _values(settings), len(groups)


def _values(data: DataConfig) -> Any:
    prompts, left_out, count = read_pool(data)
    return [(prompt, prompt.line) for prompt in prompts], left_out, count


def lines_of(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def plain(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"question": f"{i} + {i}?", "answer": 2 * i, "why": None, "key": f"k{i}"} for i in range(start, start + count)
    ]


@pytest.mark.parametrize("each", [1, 2, 5, 1000])
def test_every_line_is_in_one_part(each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(each)
    for end in (b"", b"\n", b"\n\n", b"\r\n"):
        lines = [b"x" * draw.choice([0, 1, 2, 3, 50]) for _ in range(40)]
        file = tmp_path / "lines.jsonl"
        file.write_bytes(b"\n".join(lines) + end)
        monkeypatch.setattr(pool_readers, "_SMALLEST", each)
        monkeypatch.setattr(pool_readers, "_LARGEST", each)
        contents = [part.of(opened) for opened, part in parts_of(file)]
        assert b"".join(contents) == file.read_bytes()
        assert len(contents) == max(1, -(-file.stat().st_size // each))
        assert all(content.endswith(b"\n") for content in list(filter(None, contents))[:-1])


@pytest.mark.parametrize("seed", range(2))
def test_awkward_rows_between_plain_ones_are_read_as_by_one_process(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pool.jsonl"
    rows = [*plain(60), *awkward(seed, 40), *plain(40, 60), *plain(3), *awkward(seed + 9, 20), *plain(50, 100)]
    content = lines_of(rows).replace(b'{"question": "120', b' \n\n{"question": "120')
    file.write_bytes(content)
    together, alone, groups = both_ways(monkeypatch, path=str(file), system_prompt=["Think.", None][seed])
    assert together == alone
    assert groups >= 10


def test_columns_that_hold_objects_and_a_mark_at_a_part_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**row, "extra": {"index": [1]}} for row in plain(200)]
    file = _file(tmp_path, rows)
    together, alone, groups = both_ways(monkeypatch, path=str(file))
    assert together == alone
    assert groups > 20
    lines = file.read_bytes().splitlines(keepends=True)
    monkeypatch.setattr(pool_readers, "_LARGEST", len(lines[0]))  # each line but the longer ones begins a part
    for place in (0, 1, 2, 3):
        file.write_bytes(b"".join([*lines[:place], b"\xef\xbb\xbf", *lines[place:9]]))
        errors = []
        for least in (0, 1 << 60):
            monkeypatch.setattr(pool_readers, "LEAST", least)
            with pytest.raises(InputError, match=f"line {place + 1}") if place else contextlib.nullcontext() as error:
                read_pool(DataConfig(path=str(file), prompt="question", answer="answer"))
            errors.append(str(error.value) if error else "")
        assert errors[0] == errors[1]


def test_lines_longer_than_a_part_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = plain(200)
    rows[50]["why"] = "because " * 200  # beyond several parts, in which no line begins
    monkeypatch.setattr(pool_readers, "_SAMPLE", 500)
    together, alone, groups = both_ways(monkeypatch, path=str(_file(tmp_path, rows)))
    assert together == alone
    assert groups > 20


def test_own_ids_that_come_again_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = plain(100)
    digest = read_pool(DataConfig(path=str(_file(tmp_path, rows[:1])), prompt="question", answer="answer"))[0].ids[0]
    rows[40]["key"], rows[70]["key"], rows[90]["key"] = rows[3]["key"], rows[69]["key"], digest
    together, alone, groups = both_ways(monkeypatch, path=str(_file(tmp_path, rows)), id="key")
    assert together == alone
    assert len(together[1]) == 2
    assert groups > 10


def test_files_of_a_directory_are_read_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    for i in range(3):
        (folder / f"train-{i}.jsonl").write_bytes(lines_of([*plain(30, 20 * i), {"question": "no gold"}]).rstrip())
    together, alone, groups = both_ways(monkeypatch, path=str(folder))
    assert together == alone
    assert together[2] == 93
    assert groups > 6


@pytest.mark.parametrize("line", [b'{"question": "a", "question": "b"}\n', b"\xff\n"])
def test_the_error_of_a_line_names_the_same_line(line: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_bytes(lines_of(plain(50)) + line + lines_of(plain(20, 50)) + b"}\n")
    settings, errors = DataConfig(path=str(file), prompt="question", answer="answer"), []
    for least in (0, 1 << 60):
        monkeypatch.setattr(pool_readers, "LEAST", least)
        with pytest.raises(InputError, match="line 51") as error:
            read_pool(settings)
        errors.append(str(error.value))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("command", [["false"], ["/no/such/python"], [None]])
def test_processes_that_cannot_start_or_die_leave_all_to_this_one(
    command: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_readers, "own_module", lambda *arguments: command)
    together, alone, groups = both_ways(monkeypatch, path=str(_file(tmp_path, plain(200))))
    assert (together, groups) == (alone, 0)


def test_the_parts_of_a_process_that_is_killed_go_to_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, groups, rows = _file(tmp_path, plain(2000)), 0, 0
    for some in read_groups(DataConfig(path=str(file), prompt="question", answer="answer")):
        if not groups:
            children("learnalign.pool_readers").pop().kill()
        groups, rows = groups + isinstance(some, Group), rows + len(some)
    assert rows == 2000
    assert groups > 200  # of about 290


@pytest.mark.parametrize("way", ["replaced", "renamed", "emptied"])
def test_a_file_that_changes_while_it_is_read_is_read_as_it_was_or_refused(way: str, tmp_path: Path) -> None:
    file, other = _file(tmp_path, plain(2000)), tmp_path / "other.jsonl"
    other.write_bytes(lines_of(plain(3000, 5000)))
    prompts: list[Any] = []
    ways = {
        "replaced": lambda: other.replace(file),
        "renamed": lambda: file.rename(tmp_path / "renamed.jsonl"),
        "emptied": lambda: file.write_bytes(b""),
    }

    def read() -> None:
        for some in read_groups(DataConfig(path=str(file), prompt="question", answer="answer")):
            if not prompts:
                ways[way]()
            prompts.extend(some.rows if isinstance(some, Batch) else unpacked(some.packed)["source"].to_pylist())

    if way == "emptied":
        with pytest.raises(InputError, match="it has changed while it was read"):
            read()
    else:
        read()
        assert len(prompts) == 2000
        assert "5000" not in str(prompts[-1])


def test_a_file_that_cannot_be_read_is_told_after_errors_of_those_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    for i in range(4):
        (folder / f"train-{i}.jsonl").write_bytes(lines_of(plain(2)))
    (folder / "train-1.jsonl").write_bytes(b"{\n")
    (folder / "train-2.jsonl").unlink()
    (folder / "train-2.jsonl").symlink_to("/proc/self/mem")
    data = DataConfig(path=str(folder), prompt="question", answer="answer")
    with pytest.raises(InputError, match=r"train-1.jsonl, line 1"):
        read_pool(data)
    (folder / "train-1.jsonl").write_bytes(lines_of(plain(2)))
    with pytest.raises(InputError, match=r"train-2.jsonl: cannot be read"):
        read_pool(data)


def test_files_whose_rows_are_not_plain_are_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Part] = []
    monkeypatch.setattr(pool_readers, "_SELDOM", 16)
    own = pool_readers._Readers._answer
    monkeypatch.setattr(pool_readers._Readers, "_answer", lambda self, part: (asked.append(part), own(self, part))[1])
    turns = [{**row, "question": [{"role": "user", "content": row["question"]}]} for row in plain(1000)]
    together, alone, groups = both_ways(monkeypatch, path=str(_file(tmp_path, turns)))
    assert (together, groups) == (alone, 0)
    assert 5 < len(asked) < 25  # of about 140


def test_compressed_files_and_rows_that_are_changed_are_read_by_one(tmp_path: Path) -> None:
    packed = tmp_path / "pool.jsonl.gz"
    packed.write_bytes(gzip.compress(lines_of(plain(30))))
    for data in (
        {"path": packed},
        {"path": _file(tmp_path, plain(30)), "where": {"answer": [2, 4]}},
        {"answer": ["answer"]},
    ):
        settings = {
            "prompt": "question",
            "answer": "answer",
            **data,
            "path": str(data.get("path", packed.with_suffix(""))),
        }
        some = list(read_groups(DataConfig(**settings)))
        assert not [group for group in some if isinstance(group, Group)]
        assert sum(map(len, some)) == 30


def _file(folder: Path, rows: list[Any]) -> Path:
    file = folder / "pool.jsonl"
    file.write_bytes(lines_of(rows))
    return file
