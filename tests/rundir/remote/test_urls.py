"""What is no run directory's URL is refused with the way out, and no message names the local copy where it need not."""

import sys
from pathlib import Path

import pytest

from learnalign.config import dump_config
from learnalign.errors import InputError
from learnalign.rundir import RunDir
from learnalign.rundir.checking import put_back
from learnalign.rundir.remote import mirrored
from tests.rundir.remote.steps import CONFIG, URL, make


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
