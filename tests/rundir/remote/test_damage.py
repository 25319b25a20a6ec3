"""What the remote or the local copy has lost is put back from the other, or told."""

import json
import shutil
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.errors import RunError
from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import write_text
from learnalign.rundir.remote import mirrored
from tests.rundir.remote.steps import (
    URL,
    content,
    elsewhere,
    make,
)


def test_a_remote_that_is_gone_does_not_take_the_local_copy_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    with mirrored(URL) as local:
        make(local)
    made = content(local)
    MemoryFileSystem.store.clear()
    with mirrored(URL) as local:
        assert not (local / "config.yaml").exists()
    aside = Path(capsys.readouterr().err.partition("it is kept in ")[2].splitlines()[0])
    assert content(aside) == made


@pytest.mark.parametrize("damage", ["emptied", "deleted"])
def test_a_file_that_the_remote_has_lost_is_put_back_from_the_local_copy_or_told(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = "/bucket/run/success.parquet"

    def lose() -> None:
        if damage == "emptied":
            MemoryFileSystem().pipe_file(place, b"")
        else:
            del MemoryFileSystem.store[place]

    with mirrored(URL) as local:
        make(local)
    lose()
    with mirrored(URL):
        pass
    assert MemoryFileSystem.store[place].getvalue() == b"old rates"
    lose()
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(URL) as second:
        assert [problem.file for problem in find_problems(second)] == ["success.parquet"]
        told = capsys.readouterr().err
        assert "missing or damaged there, and not in the local copy: success.parquet" in told
        assert f"`learnalign status {URL} --repair`" in told
        write_text(second / "success.parquet", "old rates")  # made again, the same
    assert MemoryFileSystem.store[place].getvalue() == b"old rates"


def test_a_file_changed_at_the_same_size_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with mirrored(URL) as local:
        make(local)
    MemoryFileSystem().pipe_file("/bucket/run/success.parquet", b"odd rates")
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(URL, reading=True) as second:
        assert not (second / "success.parquet").exists()
    assert "success.parquet" in capsys.readouterr().err


def test_a_local_copy_that_is_damaged_or_deleted_is_downloaded_again() -> None:
    with mirrored(URL) as local:
        make(local)
    made = content(local)
    (local / "success.parquet").unlink()
    (local / "prompts.parquet").write_bytes(b"")
    shutil.rmtree(local / "train" / "own")
    with mirrored(URL) as local:
        assert content(local) == made
    shutil.rmtree(local)
    with mirrored(URL) as local:
        assert content(local) == made
        assert not find_problems(local)


def test_a_file_damaged_before_its_upload_is_told_and_the_rest_is_uploaded() -> None:
    with pytest.raises(RunError, match="missing or damaged, so not uploaded: success.parquet"), mirrored(URL) as local:
        make(local)
        (local / "success.parquet").write_bytes(b"odd rates")
    assert "/bucket/run/success.parquet" not in MemoryFileSystem.store
    assert "/bucket/run/prompts.parquet" in MemoryFileSystem.store


@pytest.mark.parametrize("path", ["../../evil", "/etc/evil", "a/../../evil", "a//b", ""])
def test_a_remote_cannot_write_outside_of_the_local_copy(path: str, tmp_path: Path) -> None:
    index = {"version": "1", "copy": "x", "files": {path: [4, "0" * 32]}, "pending": [], "removed": []}
    MemoryFileSystem().pipe_file("/bucket/run/.learnalign/index.json", json.dumps(index).encode())
    with pytest.raises(RunError, match="is no place in a run directory"), mirrored(URL, reading=True):
        pass
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"files": 3}'])
def test_a_damaged_index_is_named(value: bytes) -> None:
    MemoryFileSystem().pipe_file("/bucket/run/.learnalign/index.json", value)
    with pytest.raises(RunError, match=r"memory://bucket/run/.learnalign/index.json"), mirrored(URL):
        pass
