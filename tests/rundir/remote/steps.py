"""What the commands of these tests do with a run directory."""

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learnalign.config import build_config
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_text
from learnalign.rundir.remote.copy import CACHE

SETTINGS = {"model": {"name": "m"}, "data": {"path": "d"}}

CONFIG = build_config(SETTINGS)

OTHER = build_config({**SETTINGS, "grad": {"dim": 16}})

URL = "memory://bucket/run"


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
