"""One command at a time drives a remote run directory; others read."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.errors import RunError
from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import read_text, write_text
from learnalign.rundir.remote import LeaseLost, lease, mirrored, store
from learnalign.rundir.remote.copy import CACHE
from tests.rundir.remote.steps import (
    URL,
    content,
    elsewhere,
    make,
)


def test_a_second_command_is_refused_and_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mirrored(URL) as local:
        make(local)
    with mirrored(URL) as local:
        with pytest.raises(RunError, match="in use by another learnalign command"), mirrored(URL):
            pass
        with mirrored(URL, reading=True) as seen:
            assert seen == local
        cache = os.environ[CACHE]
        elsewhere(monkeypatch, tmp_path, "second")
        with pytest.raises(RunError) as caught, mirrored(URL):
            pass
        assert f"{URL} is in use by " in str(caught.value)
        assert f"(process {os.getpid()}, since " in str(caught.value)
        assert "10 minutes after" in str(caught.value)
        with mirrored(URL, reading=True) as seen:
            assert read_text(seen / "success.parquet") == "old rates"
        monkeypatch.setenv(CACHE, cache)
    assert "/bucket/run/.learnalign/lease.json" not in MemoryFileSystem.store


def test_a_reader_that_another_command_overtakes_reads_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with mirrored(URL) as local:
        make(local)
    own, cache, overtaken = MemoryFileSystem.get_file, os.environ[CACHE], list[str]()

    def get(files: Any, there: str, here: str, **options: Any) -> None:
        if there.endswith("success.parquet") and not overtaken:
            overtaken.append(there)
            monkeypatch.setenv(CACHE, cache)
            with mirrored(URL) as first:
                write_text(first / "success.parquet", "new rates")
        own(files, there, here, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(URL, reading=True) as seen:
        assert overtaken
        assert read_text(seen / "success.parquet") == "new rates"
        assert not find_problems(seen)
    assert "missing or damaged" not in capsys.readouterr().err


def test_of_commands_that_begin_at_once_one_gets_the_lease() -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(6)

    def begin(number: int) -> None:
        barrier.wait()
        try:
            with lease.Lease(store.Store(URL), f"copy {number}"):
                outcomes.append("got it")
                time.sleep(0.2)
        except RunError:
            outcomes.append("refused")

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["got it"] + ["refused"] * 5


def test_a_stale_lease_is_taken_over_and_nothing_of_either_command_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LeaseLost, match="nothing more is uploaded; what was made is in"), mirrored(URL) as first:
        make(first, "first")
        with monkeypatch.context() as patch:
            patch.setattr(lease, "STALE", -1.0)
            elsewhere(patch, tmp_path, "second")
            with mirrored(URL) as second:
                make(second, "second")
    assert MemoryFileSystem.store["/bucket/run/success.parquet"].getvalue() == b"second rates"
    capsys.readouterr()
    with mirrored(URL) as again:
        assert read_text(again / "success.parquet") == "second rates"
        assert not find_problems(again)
    told = capsys.readouterr().err
    aside = Path(told.partition("it is kept in ")[2].splitlines()[0])
    assert "somebody else has changed it" in told
    assert content(aside)["success.parquet"] == "first rates"


def test_a_remote_that_changes_under_a_command_gets_nothing_more_of_it() -> None:
    with mirrored(URL) as local:
        make(local)
    with pytest.raises(RunError, match="was changed by another command while this one worked"), mirrored(URL) as local:
        place = "/bucket/run/.learnalign/index.json"
        index = json.loads(MemoryFileSystem.store[place].getvalue())
        MemoryFileSystem().pipe_file(place, json.dumps({**index, "version": "other"}).encode())
        write_text(local / "report.html", "page")
    assert "/bucket/run/report.html" not in MemoryFileSystem.store


def test_a_dead_command_of_the_same_local_copy_holds_nobody_up() -> None:
    with mirrored(URL) as local:
        make(local)
        held = MemoryFileSystem.store["/bucket/run/.learnalign/lease.json"].getvalue()
    MemoryFileSystem().pipe_file("/bucket/run/.learnalign/lease.json", held)
    with mirrored(URL):
        pass
