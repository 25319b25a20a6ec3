"""Which GPUs each worker of a machine gets."""

from typing import Any

import pytest

from learnalign.errors import InputError
from learnalign.executor import local
from learnalign.executor.local import Processes, groups_of


@pytest.mark.parametrize(
    ("visible", "devices", "each", "groups"),
    [
        ([], "auto", 1, [[]]),
        ([], 3, 1, [[], [], []]),
        (["0"], "auto", 1, [["0"]]),
        (["4", "5", "6", "7"], "auto", 1, [["4"], ["5"], ["6"], ["7"]]),
        (["4", "5", "6", "7"], "auto", 2, [["4", "5"], ["6", "7"]]),
        (["4", "5", "6"], "auto", 2, [["4", "5"]]),
        (["GPU-a", "GPU-b", "GPU-c"], 2, 1, [["GPU-a"], ["GPU-b"]]),
        (["4", "5", "6", "7"], [3, 0], 1, [["7"], ["4"]]),
        (["4", "5", "6", "7"], 1, 4, [["4", "5", "6", "7"]]),
    ],
)
def test_workers_share_the_gpus_out(
    monkeypatch: pytest.MonkeyPatch, visible: list[str], devices: Any, each: int, groups: list[list[str]]
) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: visible)
    assert groups_of(devices, each) == groups


@pytest.mark.parametrize(
    ("devices", "each", "words"),
    [
        (3, 1, "3 workers of 1 GPU each need 3, 2 are visible"),
        ([0, 2], 1, "there is no GPU 2; 2 GPUs visible"),
        ("auto", 4, "needs 4 GPUs, 2 given"),
        ([1], 2, "needs 2 GPUs, 1 given"),
    ],
)
def test_too_few_gpus_are_an_error_with_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, devices: Any, each: int, words: str
) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: ["0", "1"])
    with pytest.raises(InputError, match=words):
        groups_of(devices, each)


def test_a_worker_sees_its_own_gpus_and_shares_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    places = Processes([["4", "5"], ["6", "7"]])
    environment = places._environment(["4", "5"])
    assert environment["CUDA_VISIBLE_DEVICES"] == "4,5"
    assert environment["OMP_NUM_THREADS"] == "8"
