"""A remote run directory is a valid one at any moment, one command at a time drives it, and nothing made is lost."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.config import build_config, dump_config
from learnalign.errors import InputError, RunError
from learnalign.rundir import RunDir
from learnalign.rundir.checking import find_problems, put_back
from learnalign.rundir.files import read_text, remove, write_text
from learnalign.rundir.remote import LeaseLost, NoPermission, RemoteError, lease, mirrored, store
from learnalign.rundir.remote.copy import CACHE

SETTINGS = {"model": {"name": "m"}, "data": {"path": "d"}}
CONFIG = build_config(SETTINGS)
OTHER = build_config({**SETTINGS, "grad": {"dim": 16}})
URL = "memory://bucket/run"
Faults = Callable[..., None]  # operation, which paths, error, how often


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty remote file system, no waiting between attempts, and a cache of the test's own."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(store, "WAITS", (0.0, 0.0, 0.0))
    MemoryFileSystem.store.clear()
    yield
    MemoryFileSystem.store.clear()


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Makes an operation on chosen paths raise an error, a number of times."""

    def arrange(operation: str, chosen: Callable[[str], bool], error: BaseException, times: int = 1000) -> None:
        own, left = getattr(MemoryFileSystem, operation), [times]
        place = 1 if operation == "put_file" else 0

        def failing(files: Any, *paths: Any, **options: Any) -> Any:
            if left[0] and chosen(str(paths[place])):
                left[0] -= 1
                raise error
            return own(files, *paths, **options)

        monkeypatch.setattr(MemoryFileSystem, operation, failing)

    return arrange


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """Go on as another machine, with a cache of its own."""
    monkeypatch.setenv(CACHE, str(tmp_path / name))


def make(directory: Path, text: str = "old") -> RunDir:
    """A run directory with a pool, success rates, two shards and a policy of two files."""
    run = RunDir.create(directory, CONFIG)
    with run.stage("pool"):
        write_text(run.prompts_file, f"{text} pool")
    with run.stage("rollout"):
        write_text(run.success_file, f"{text} rates")
    with run.stage("grad"):
        for i in range(2):
            write_text(run.path / "gradients" / f"part-0000{i}.safetensors", f"{text} shard {i}")
    with run.child("train", "own", CONFIG) as inside, inside.stage("pool"):
        write_text(inside.prompts_file, f"{text} subset")
    return run


def content(directory: Path) -> dict[str, str]:
    """All files but locks, manifests and records' times."""
    return {
        str(file.relative_to(directory)): file.read_text("utf-8")
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.name not in (".lock", "manifest.jsonl")
    }


def downloaded(folder: Path) -> Path:
    """The remote as a user copies it, file by file, without its index."""
    folder.mkdir()
    for path, file in MemoryFileSystem.store.items():
        if path.startswith("/bucket/run/") and "/.learnalign/" not in path:
            target = folder / path.removeprefix("/bucket/run/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.getvalue())
    for manifest in folder.rglob("manifest.jsonl"):
        manifest.with_name(".lock").touch()
    return folder


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


def uploads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that change the remote, in turn, from now on."""
    done: list[str] = []
    for operation in ("put_file", "cp_file", "rm_file"):
        own = getattr(MemoryFileSystem, operation)

        def noting(self: Any, *paths: Any, own: Any = own, operation: str = operation, **options: Any) -> Any:
            done.append(f"{operation} {paths[1 if operation == 'put_file' else 0]}")
            return own(self, *paths, **options)

        monkeypatch.setattr(MemoryFileSystem, operation, noting)
    return done


def overwrite(local: Path) -> None:
    with RunDir.overwriting(local, OTHER, "grad") as run, run.stage("grad"):
        write_text(run.path / "gradients" / "part-00000.safetensors", "new shard 0")


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_command_killed_between_any_two_uploads_leaves_the_old_results_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirrored(URL) as local:
        make(local)
    before = content(local)
    start, cache = {path: file.getvalue() for path, file in MemoryFileSystem.store.items()}, tmp_path / "cache"
    shutil.copytree(cache, tmp_path / "kept")
    with monkeypatch.context() as patch:
        done = uploads(patch)
        with mirrored(URL) as local:
            overwrite(local)
    after = {path for path in content(local) if path.startswith("gradients/")}
    assert after == {"gradients/part-00000.safetensors"}
    assert len(done) > 10
    seen = set()
    for kill in range(len(done)):
        restore(start, cache, tmp_path / "kept")
        with monkeypatch.context() as patch:
            patch.setattr("learnalign.rundir.remote.mirror.AT_ONCE", 1)
            kill_after(kill, patch)
            with pytest.raises(Killed), mirrored(URL) as local:
                overwrite(local)
        MemoryFileSystem.store.pop("/bucket/run/.learnalign/lease.json", None)  # as once it is stale
        for reading in (True, False):
            elsewhere(monkeypatch, tmp_path, f"other-{kill}-{reading}")
            with mirrored(URL, reading=reading) as other:
                found = content(other)
                assert not find_problems(other), f"killed before {done[kill]}"
            if read_text(other / "gradients" / "part-00000.safetensors") == "new shard 0":
                assert set(found) == set(before) - {"gradients/part-00001.safetensors"}
                assert "dim: 16" in found["config.yaml"]
                seen.add("new")
            else:
                assert found == before
                seen.add("old")
        assert not find_problems(downloaded(tmp_path / f"copy-{kill}"))
        elsewhere(monkeypatch, tmp_path, "cache")
        with mirrored(URL) as local:  # the killed one's machine goes on
            assert read_text(local / "gradients" / "part-00000.safetensors") in ("new shard 0", "old shard 0")
    assert seen == {"old", "new"}


def restore(start: dict[str, bytes], cache: Path, kept: Path) -> None:
    """The remote and the local copy as they were."""
    MemoryFileSystem.store.clear()
    files = MemoryFileSystem()
    for path, value in start.items():
        files.pipe_file(path, value)
    shutil.rmtree(cache)
    shutil.copytree(kept, cache)


def kill_after(count: int, patch: pytest.MonkeyPatch) -> None:
    """End the process, so to say, before the next change of the remote after `count` of them."""
    left = [count]
    for operation in ("put_file", "cp_file", "rm_file"):
        own = getattr(MemoryFileSystem, operation)

        def dying(self: Any, *paths: Any, own: Any = own, **options: Any) -> Any:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return own(self, *paths, **options)

        patch.setattr(MemoryFileSystem, operation, dying)


def test_a_network_that_fails_now_and_then_is_tried_again(fail: Faults) -> None:
    fail("put_file", lambda path: path.endswith("success.parquet"), ConnectionError("reset by peer"), 3)
    with mirrored(URL) as local:
        make(local)
    assert "/bucket/run/success.parquet" in MemoryFileSystem.store


@pytest.mark.parametrize(("operation", "verb"), [("put_file", "write"), ("cat_file", "read")])
def test_a_lost_network_is_one_line_that_says_where_the_work_is(
    fail: Faults, monkeypatch: pytest.MonkeyPatch, operation: str, verb: str
) -> None:
    with pytest.raises(RemoteError) as caught, mirrored(URL) as local:
        make(local)
        fail(operation, lambda path: True, ConnectionError("reset by peer"))
    text = str(caught.value)
    assert f"cannot {verb} {URL}/" in text
    assert "reset by peer; tried 4 times" in text
    assert f"what was made is in {local}, and the same command goes on" in text
    assert "\n" not in text
    assert content(local)["success.parquet"] == "old rates"
    monkeypatch.undo()


def test_a_network_lost_before_the_command_stops_it_at_once(fail: Faults) -> None:
    fail("find", lambda path: True, ConnectionError("unreachable"))
    with pytest.raises(RemoteError, match=f"cannot list {URL}: unreachable; tried 4 times"), mirrored(URL):
        raise AssertionError("must not be reached")


def test_a_network_lost_while_the_command_works_is_told_once_and_the_work_goes_on(
    fail: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RemoteError), mirrored(URL, interval=0.01) as local:
        make(local)
        fail("put_file", lambda path: True, ConnectionError("reset by peer"))
        time.sleep(0.3)
        write_text(local / "report.html", "page")
    assert content(local)["report.html"] == "page"
    assert 1 <= capsys.readouterr().err.count("the work goes on in the local copy") <= 3  # one for each object


def test_no_permission_and_no_bucket_are_told_at_once(fail: Faults) -> None:
    fail("put_file", lambda path: "bucket/run" in path, PermissionError("Access Denied"), 1)
    with pytest.raises(NoPermission, match="no permission .*Access Denied.*credentials"), mirrored(URL) as local:
        make(local)
    fail("put_file", lambda path: True, FileNotFoundError("The specified bucket does not exist"))
    with pytest.raises(RemoteError, match="no such bucket or folder .*does not exist"), mirrored(URL) as local:
        write_text(local / "report.html", "page")


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


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://key:secret@bucket/run", r"s3://…@bucket: credentials do not belong in a URL"),
        ("nosuch://bucket/run", "Protocol not known: nosuch"),
        ("dir:///bucket/run", "fsspec cannot open dir://"),
        ("s3://bucket", "name a directory in the bucket"),
        ("memory:///", "name the bucket and a directory in it"),
        ("memory://bucket/../run", "leave out the dots"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught, mirrored(url):
        pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "module"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_missing_package_is_told_with_the_extra(scheme: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    with pytest.raises(InputError, match=rf"pip install 'learnalign\[{scheme}\]'"), mirrored(f"{scheme}://bucket/run"):
        pass


def test_python_users_are_told_of_the_local_copy() -> None:
    for path in ("s3://bucket/run", Path("s3://bucket/run")):
        with pytest.raises(InputError, match=r"learnalign.rundir.remote.mirrored\(URL\)"):
            RunDir.create(path, CONFIG)
        with pytest.raises(InputError, match="mirrored"):
            RunDir.open(path)


def test_messages_name_the_url_and_nothing_of_it_is_stored_in_the_run_directory() -> None:
    with mirrored(URL) as local:
        run = make(local)
        assert run.quoted == URL
        assert "bucket" not in (local / "run.json").read_text("utf-8") + (local / "config.yaml").read_text("utf-8")
        (local / "config.yaml").write_text("seed: 1", encoding="utf-8")
        put_back(local)
        assert (local / "config.yaml").read_text("utf-8") == dump_config(CONFIG, local)


def test_a_local_file_system_works_as_a_remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"file://{tmp_path}/far/run"
    with mirrored(url) as local:
        make(local)
    with mirrored(url) as local:
        overwrite(local)
    elsewhere(monkeypatch, tmp_path, "second")
    with mirrored(url) as second:
        assert content(second) == content(local)
        assert not find_problems(second)
    assert not list((tmp_path / "far").rglob("*.tmp"))
