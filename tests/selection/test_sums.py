"""The weighted sums that `grad` stores: with them a choice reads the features once, and is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learnalign.errors import RunError
from learnalign.gradients.sums import sums_of
from learnalign.rollouts.uncertainty import row_weights
from learnalign.rundir import RunDir
from learnalign.rundir.files import Buffer, Place, read_head
from learnalign.selection import select
from learnalign.selection.pool import Pool
from learnalign.selection.scores import by_centroid
from tests.selection.measured import GROUP, measured_run, write_gradients

CORRECT = [place % (GROUP + 1) for place in range(24)]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return measured_run(tmp_path, CORRECT, executor={"shard_size": 5})


def weights_of(pool: Pool) -> np.ndarray:
    return row_weights(pool.success.learnability, pool.success.correct, pool.success.scored)


def places_of(file: Path) -> dict[str, Place]:
    return read_head(file, "features", Buffer())[0].places


def reads_of(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each read of files of gradients that `select` makes."""
    reads: list[int] = []
    read = Buffer.read

    def counted(buffer: Buffer, path: Path, *part: int) -> memoryview:
        view = read(buffer, path, *part)
        reads.append(len(view))
        return view

    with monkeypatch.context() as patch:
        patch.setattr(Buffer, "read", counted)
        select(run, 3, scoring="centroid")
    return reads


def alignments(run: RunDir, stored: bool) -> np.ndarray:
    pool = Pool(run)
    return by_centroid(pool.gradients, weights_of(pool), pool.sums if stored else None).alignment


def test_features_are_read_once_and_alignments_are_those_of_two_passes(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(run)
    assert pool.sums(weights_of(pool)) is not None
    np.testing.assert_array_equal(alignments(run, True), alignments(run, False))
    files = [run.gradients_file(shard) for shard in run.shards()]
    heads = [read_head(file, "features", Buffer())[0].size for file in files]
    assert sorted(reads_of(run, monkeypatch)) == sorted([*heads, *(file.stat().st_size for file in files)])


def other(name: str, change: Any) -> Any:
    """`sums_of` with one of its tensors changed, or without any."""

    def sums(units: torch.Tensor, success: Any) -> dict[str, torch.Tensor]:
        tensors = sums_of(units, success)
        return {**tensors, name: change(tensors[name])} if name else {}

    return sums


@pytest.mark.parametrize(
    "sums",
    [
        other("", None),
        other("weights", lambda weights: weights * 2),
        other("weights", lambda weights: weights[:1]),
        other("weights", lambda weights: weights.flip(1)),
    ],
    ids=["of an earlier version", "other weights", "fewer weights", "in another order"],
)
def test_sums_by_other_weights_are_not_used(run: RunDir, sums: Any) -> None:
    write_gradients(run, CORRECT, np.random.default_rng(0).standard_normal((24, 16)) + 0.5, sums)
    pool = Pool(run)
    assert pool.sums(weights_of(pool)) is None
    np.testing.assert_array_equal(alignments(run, True), alignments(run, False))


def test_one_file_without_sums_is_enough_for_two_passes(run: RunDir) -> None:
    first = run.gradients_file(run.shards()[0]).read_bytes()
    write_gradients(run, CORRECT, np.ones((24, 16)), other("", None))
    run.gradients_file(run.shards()[0]).write_bytes(first)
    pool = Pool(run)
    assert pool.sums(weights_of(pool)) is None


def test_a_damaged_sum_is_noticed_before_scores_are_written(run: RunDir) -> None:
    file = run.gradients_file(run.shards()[1])
    place = places_of(file)["sums"]
    content = bytearray(file.read_bytes())
    content[place.start + 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match="part-00001.safetensors is damaged"):
        select(run, 3, scoring="centroid")
    assert not (run.path / "scores").exists()


@pytest.mark.parametrize("first", ["sums", "features"])
def test_sums_that_change_between_two_readings_are_noticed(run: RunDir, first: str) -> None:
    pool, weights, file = Pool(run), weights_of(Pool(run)), run.gradients_file(run.shards()[1])
    place, content = places_of(file)["sums"], bytearray(file.read_bytes())
    right = bytes(content)
    content[place.start + 3] ^= 1
    file.write_bytes(content if first == "sums" else right)
    assert pool.sums(weights) is not None if first == "sums" else list(pool.gradients())
    file.write_bytes(right if first == "sums" else content)
    if first == "features":
        assert pool.sums(weights) is None, "they are not those that were compared"
        return
    with pytest.raises(RunError, match="part-00001.safetensors is damaged"):
        list(pool.gradients())


@pytest.mark.parametrize(
    ("was", "becomes"), [(b'"F64"', b'"I64"'), (b"[2,16]", b"[8, 4]"), (b"[2,16]", b"[2.,8]"), (b'"[', b'"{')]
)
def test_a_header_that_tells_something_else_is_one_line(run: RunDir, was: bytes, becomes: bytes) -> None:
    file = run.gradients_file(run.shards()[1])
    content = file.read_bytes()
    assert was in content
    file.write_bytes(content.replace(was, becomes))
    with pytest.raises(RunError, match="part-00001.safetensors is damaged"):
        alignments(run, True)


def test_a_damaged_header_is_one_line(run: RunDir) -> None:
    file = run.gradients_file(run.shards()[1])
    whole = file.read_bytes()
    begin = min(place.start for place in places_of(file).values())
    for at in range(0, begin, 3):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 7]) + whole[at + 1 :])
        with pytest.raises(RunError, match="part-00001.safetensors is damaged"):
            alignments(run, True)
