"""Run directories on S3, against a server of this process's own: `pip install s3fs 'moto[server]'`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import build_config
from learnalign.errors import RunError
from learnalign.rundir import RunDir
from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import read_text, write_text
from learnalign.rundir.remote import NoPermission, RemoteError, lease, mirrored, store
from learnalign.rundir.remote.copy import CACHE

s3fs = pytest.importorskip("s3fs", reason="S3 needs the extra s3: pip install s3fs")
server = pytest.importorskip("moto.server", reason="the local S3 server is missing: pip install 'moto[server]'")

URL = "s3://bucket/folder/run"
CONFIG = build_config({"model": {"name": "m"}, "data": {"path": "d"}})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a running server."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(autouse=True)
def files(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file system that URLs mean, with an empty bucket called `bucket`."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(store, "WAITS", (0.0, 0.0, 0.0))
    variables = {
        "ENDPOINT_URL": endpoint,
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "hidden",
        "DEFAULT_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    own = s3fs.S3FileSystem()
    if own.exists("bucket"):
        own.rm("bucket", recursive=True)
    own.invalidate_cache()
    own.mkdir("bucket")
    return own


def make(directory: Path) -> None:
    run = RunDir.create(directory, CONFIG)
    with run.stage("grad"):
        for i in range(20):
            write_text(run.path / "gradients" / f"part-{i:05d}.safetensors", f"shard {i}")


def test_another_machine_goes_on_and_overwrites(files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mirrored(URL) as local:
        make(local)
    assert files.cat_file("bucket/folder/run/gradients/part-00007.safetensors") == b"shard 7"
    monkeypatch.setenv(CACHE, str(tmp_path / "second"))
    with mirrored(URL) as second:
        assert not find_problems(second)
        with RunDir.overwriting(second, CONFIG, "grad") as run, run.stage("grad"):
            write_text(run.path / "gradients" / "part-00000.safetensors", "new")
    found = files.find("bucket", refresh=True)
    assert [path for path in found if "gradients" in path] == ["bucket/folder/run/gradients/part-00000.safetensors"]
    assert [path for path in found if ".learnalign" in path] == ["bucket/folder/run/.learnalign/index.json"]
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    with mirrored(URL, reading=True) as local:
        assert read_text(local / "gradients" / "part-00000.safetensors") == "new"
        assert not (local / "gradients" / "part-00001.safetensors").exists()
        assert not find_problems(local)


def test_one_lease_at_a_time() -> None:
    with lease.Lease(store.Store(URL), "one"), pytest.raises(RunError, match=f"{URL} is in use by"):
        with lease.Lease(store.Store(URL), "two"):
            pass
    with lease.Lease(store.Store(URL), "two"):
        pass


def test_an_emptied_object_is_put_back_from_the_local_copy(files: Any) -> None:
    with mirrored(URL) as local:
        make(local)
    place = "bucket/folder/run/gradients/part-00003.safetensors"
    files.pipe_file(place, b"")
    with mirrored(URL):
        pass
    assert files.cat_file(place) == b"shard 3"


def test_no_bucket_no_credentials_and_no_server_are_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteError, match="no such bucket or folder") as caught, mirrored("s3://nosuch/run"):
        pass
    assert "hidden" not in str(caught.value)
    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nosuch")
    with pytest.raises(NoPermission, match="no permission .*credentials"), mirrored(URL):
        pass
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RemoteError, match="tried 4 times") as caught, mirrored(URL):
        pass
    assert "hidden" not in str(caught.value)
