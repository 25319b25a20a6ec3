"""A remote run directory is a valid one at any moment."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import read_text
from learnalign.rundir.remote import mirrored
from tests.rundir.remote.steps import URL, content, downloaded, elsewhere, make, overwrite, uploads


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
