"""What goes from the local copy to the remote and back."""

import os
import time
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.errors import RunError
from learnalign.rundir import RunDir
from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import read_text, remove, write_text
from learnalign.rundir.remote import mirrored
from learnalign.rundir.remote.copy import CACHE
from tests.rundir.remote.steps import (
    CONFIG,
    URL,
    content,
    downloaded,
    elsewhere,
    make,
    overwrite,
)


def test_another_machine_finds_the_same_run_directory_and_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirrored(URL) as first:
        make(first)
    made = content(first)
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(URL) as second:
        assert second != first
        assert content(second) == made
        assert not find_problems(second)
        assert RunDir.open(second, trust=True).is_finished("grad", read=True)
        with RunDir.open(second, trust=True).stage("select"):
            write_text(second / "subset.jsonl", "chosen")
    elsewhere(monkeypatch, tmp_path, "cache")
    with mirrored(URL, reading=True) as again:
        assert again == first
        assert read_text(again / "subset.jsonl") == "chosen"
        assert content(again) == content(second)


def test_the_remote_copied_by_other_means_is_a_run_directory_and_one_uploaded_so_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirrored(URL) as local:
        make(local)
    copy = downloaded(tmp_path / "copy")
    assert not find_problems(copy)
    assert content(copy) == content(local)
    for path in [path for path in MemoryFileSystem.store if "/.learnalign/" in path]:
        del MemoryFileSystem.store[path]
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(URL) as second:
        assert content(second) == content(local)
        assert not find_problems(second)
        write_text(second / "report.html", "page")
    elsewhere(monkeypatch, tmp_path, "third")
    with mirrored(URL, reading=True) as third:
        assert content(third) == content(second)


def test_what_is_unchanged_is_not_transferred_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with mirrored(URL) as local:
        make(local)
    moved: list[str] = []
    put, get = MemoryFileSystem.put_file, MemoryFileSystem.get_file
    monkeypatch.setattr(
        MemoryFileSystem, "put_file", lambda self, here, there, **o: moved.append(there) or put(self, here, there, **o)
    )
    monkeypatch.setattr(
        MemoryFileSystem, "get_file", lambda self, there, here, **o: moved.append(there) or get(self, there, here, **o)
    )
    with mirrored(URL) as local:
        write_text(local / "report.html", "page")
    files = {path.removeprefix("/bucket/run/") for path in moved}
    own = {path for path in files if not path.startswith(".learnalign/") or "/pending/" in path}
    assert own == {"report.html", ".learnalign/pending/manifest.jsonl"}


def test_shards_are_uploaded_while_the_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mirrored(URL, interval=0.02) as local:
        run = RunDir.create(local, CONFIG)
        with run.stage("grad"):
            shard = run.path / "gradients" / "part-00000.safetensors"
            write_text(shard, "whole")
            for _ in range(500):
                if "/bucket/run/gradients/part-00000.safetensors" in MemoryFileSystem.store:
                    break
                time.sleep(0.02)
            time.sleep(0.1)  # for the index
            cache = os.environ[CACHE]
            elsewhere(monkeypatch, tmp_path, "second")
            with mirrored(URL, reading=True) as seen:
                assert read_text(seen / "gradients" / "part-00000.safetensors") == "whole"
                assert RunDir.peek(seen).read_record()["stages"]["grad"]["status"] == "begun"
            monkeypatch.setenv(CACHE, cache)


def test_a_failing_command_leaves_what_it_made_on_the_remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="broken"), mirrored(URL) as local:
        run = RunDir.create(local, CONFIG)
        with run.stage("grad"):
            write_text(run.path / "gradients" / "part-00000.safetensors", "whole")
            raise RunError("broken")
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(URL) as second:
        assert read_text(second / "gradients" / "part-00000.safetensors") == "whole"


def test_what_an_interrupted_command_did_not_upload_the_next_one_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), mirrored(URL) as local:
        make(local)
        raise KeyboardInterrupt
    assert f"what is not uploaded yet is in {local}; the next command for it" in capsys.readouterr().err
    assert "/bucket/run/run.json" not in MemoryFileSystem.store
    with mirrored(URL) as again:
        assert again == local
    assert MemoryFileSystem.store["/bucket/run/success.parquet"].getvalue() == b"old rates"


def test_what_is_removed_goes_from_the_remote_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mirrored(URL) as local:
        make(local)
    with mirrored(URL) as local:
        remove(local / "success.parquet")
    assert "/bucket/run/success.parquet" not in MemoryFileSystem.store
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(URL, reading=True) as second:
        assert not (second / "success.parquet").exists()
        assert not find_problems(second)


def test_a_local_file_system_works_as_a_remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"file://{tmp_path}/far/run"
    with mirrored(url) as local:
        make(local)
    with mirrored(url) as local:
        overwrite(local)
    elsewhere(monkeypatch, tmp_path, "second")
    folder = tmp_path / "far" / "run"
    for killed in (folder, folder / ".learnalign"):
        (killed / "run.json.0123abcd.tmp").write_bytes(b"part of an upl")
    (folder / "own.tmp").touch()
    with mirrored(url) as second:
        assert content(second) == content(local)
        assert not find_problems(second)
    assert [file.name for file in folder.rglob("*.tmp")] == ["own.tmp"]
