"""A remote that fails is tried again, then told in one line; nothing made is lost."""

import time

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.rundir.files import write_text
from learnalign.rundir.remote import NoPermission, RemoteError, mirrored
from tests.rundir.remote.conftest import Faults
from tests.rundir.remote.steps import URL, content, make


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
