"""A remote file system in memory, and its failures."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.rundir.remote import store
from learnalign.rundir.remote.copy import CACHE

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
