"""Every file of a run directory has a digest, and is used only if it is what was written."""

import json
import multiprocessing
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
import xxhash

from learnalign.errors import RunError
from learnalign.rundir.files import (
    atomic_path,
    check_whole,
    fingerprint_of,
    is_done,
    read_json,
    read_parquet,
    remove,
    write_json,
    write_parquet,
    write_text,
)
from learnalign.rundir.manifest import NAME, Manifest, manifest_of, write_manifest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").touch()
    write_manifest(folder, {})
    write_text(folder / "config.yaml", "a: 1\n")
    return folder


def test_the_digest_is_that_of_the_whole_content(root: Path) -> None:
    write_json(root / "a.json", {"a": 1})
    content = (root / "a.json").read_bytes()
    line = json.loads((root / NAME).read_text().splitlines()[-2])
    assert line["path"] == "a.json"
    assert line["files"] == {".": [len(content), xxhash.xxh3_128_hexdigest(content)]}


@pytest.mark.parametrize("name", ["a.json", "sub/b.json", "c.parquet"])
def test_no_flipped_bit_of_a_file_is_read(root: Path, name: str) -> None:
    path = root / name
    if path.suffix == ".parquet":
        write_parquet(path, pa.table({"x": [1, 2, 3]}), "f")
    else:
        write_json(path, {"value": [1, 2, 3]})
    content, generator = path.read_bytes(), random.Random(name)
    for _ in range(40):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(RunError, match=rf"{name} is damaged.*--repair"):
            read_parquet(path) if path.suffix == ".parquet" else read_json(path)
        assert manifest_of(path).damage(name) == {name: "damaged"}
    path.write_bytes(content)
    assert manifest_of(path).damage(name) == {}


def test_files_that_change_places_are_noticed(root: Path) -> None:
    for number in range(2):
        write_parquet(root / f"part-{number}.parquet", pa.table({"x": [number]}), "f")
    shutil.copy(root / "part-0.parquet", root / "part-1.parquet")
    assert fingerprint_of(root / "part-1.parquet") is None
    assert is_done(root / "part-0.parquet", "f")


def test_a_shard_is_not_that_of_other_rows(root: Path) -> None:
    write_parquet(root / "part.parquet", pa.table({"x": [1]}), "f", rows="0-16")
    assert is_done(root / "part.parquet", "f", "0-16")
    assert not is_done(root / "part.parquet", "f", "16-32")


def test_a_directory_that_appears_as_a_whole_is_checked_as_a_whole(root: Path) -> None:
    for content in ("old", "new"):
        with atomic_path(root / "policy") as folder:
            folder.mkdir()
            (folder / "weights").write_text(content)
            (folder / "config.json").write_text("{}")
    check_whole(root / "policy")
    write_json(root / "later.json", 1)
    (root / "policy" / "weights").write_text("old")
    manifest_of(root / NAME).checked.clear()  # as in another process
    with pytest.raises(RunError, match="policy/weights is damaged"):
        check_whole(root / "policy")
    (root / "policy" / "weights").unlink()
    with pytest.raises(RunError, match="policy/weights is missing"):
        check_whole(root / "policy")


def test_what_is_removed_is_not_missed(root: Path) -> None:
    write_json(root / "work" / "a.json", 1)
    remove(root / "work")
    assert not (root / "work").exists()
    assert set(manifest_of(root / NAME).paths()) == {"config.yaml"}


def _die(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write `path`, in a process that is killed between the manifest and the rename."""

    def write() -> None:
        monkeypatch.setattr(os, "replace", lambda *_: os._exit(9))
        write_json(path, "new")

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    assert process.exitcode == 9


def test_a_write_that_was_killed_before_it_took_place_leaves_the_old_file_valid(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(root / "a.json", "old")
    _die(root / "a.json", monkeypatch)
    assert read_json(root / "a.json") == "old"
    assert manifest_of(root / NAME).damage("a.json") == {}
    fresh = Manifest(root)
    with fresh.change(root / "b.json", {}):
        pass
    assert read_json(root / "a.json") == "old", "also after the next change"
    assert fresh.damage("a.json") == {}


def test_half_a_last_line_is_a_killed_write_and_a_damaged_line_is_told(root: Path) -> None:
    write_json(root / "a.json", 1)
    whole = (root / NAME).read_bytes()
    (root / NAME).write_bytes(whole + b'{"files": {".": [3,')
    assert read_json(root / "a.json") == 1
    write_json(root / "b.json", 2)
    assert read_json(root / "b.json") == 2
    lines = (root / NAME).read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"a.json", b"c.json")
    (root / NAME).write_bytes(b"".join(lines))
    fresh = Manifest(root)
    assert set(fresh.paths()) == {"config.yaml", "b.json"}
    assert fresh.damaged_lines == [4]


def test_a_failed_write_is_taken_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(root / "a.json", "old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(RunError, match="no space left"):
            write_json(root / "a.json", "new")
    write_json(root / "b.json", "other")
    assert read_json(root / "a.json") == "old"


def _write_many(root: Path, name: str) -> None:
    for number in range(30):
        write_json(root / f"{name}-{number}.json", number)


def test_a_thread_may_write_while_another_one_reads(root: Path) -> None:
    write_json(root / "read.json", "content")
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(_write_many, root, name) for name in ("a", "b")]
        while not all(one.done() for one in writing):
            assert read_json(root / "read.json") == "content"
    assert [one.result() for one in writing] == [None, None]
    assert not [path for path in Manifest(root).paths() if Manifest(root).damage(path)]


def test_two_processes_write_one_manifest(root: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write_many, args=(root, name)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    fresh = Manifest(root)
    assert len(fresh.paths()) == 61
    assert not fresh.damaged_lines
    assert not any(fresh.damage(path) for path in fresh.paths())
