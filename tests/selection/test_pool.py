"""What the pool reads from disk, and how often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from learnalign.rundir import RunDir
from learnalign.rundir.files import content as content_module
from learnalign.rundir.files import tensors
from learnalign.selection import compare, select
from tests.selection.measured import measured_run


class Counted(RunDir):
    """A run directory that counts its fingerprints by stage and its reads of run.json."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.fingerprints: Counter[str] = Counter()
        self.reads = 0

    def fingerprint(self, stage: str) -> str:
        self.fingerprints[stage] += 1
        return super().fingerprint(stage)

    def read_record(self) -> dict[str, Any]:
        self.reads += 1
        return super().read_record()


def counted_run(folder: Path, shard_size: int) -> Counted:
    folder.mkdir()
    run = measured_run(folder, [4] * 24, executor={"shard_size": shard_size})
    assert len(run.shards()) == 24 // shard_size
    return Counted(run.path, run.config)


@pytest.mark.parametrize("scoring", ["matrix", "centroid"])
def test_select_computes_the_fingerprint_of_gradients_once_for_all_shards(tmp_path: Path, scoring: Any) -> None:
    few, many = counted_run(tmp_path / "few", 24), counted_run(tmp_path / "many", 2)
    for run in (few, many):
        select(run, 3, scoring=scoring)
    assert many.fingerprints["grad"] == 1
    assert many.reads == few.reads


def test_select_compares_each_file_of_gradients_with_what_was_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: Counter[Path] = Counter()

    def is_listed(path: Path, content: bytearray) -> bool:
        compared[path] += 1
        return content_module.is_listed(path, content)

    monkeypatch.setattr(tensors, "is_listed", is_listed)
    run = measured_run(tmp_path, [4] * 24, executor={"shard_size": 8})
    select(run, 3, scoring="centroid")
    assert compared == {run.gradients_file(shard): 1 for shard in run.shards()}


def test_compare_computes_each_fingerprint_once_for_all_methods(tmp_path: Path) -> None:
    run = counted_run(tmp_path / "run", 2)
    assert len(compare(run, 3).subsets) >= 5
    assert run.fingerprints["grad"] == 1
    assert run.fingerprints["rollout"] <= 2
