"""A few trials of every part of `make torture`, on a run small enough to make in seconds."""

from __future__ import annotations

import importlib

import pytest

from tests.torture.places import Place
from tests.torture.trials import run_trials, table

TRIALS = {
    "kills": ["SIGKILL rollout 0", "SIGKILL select 0", "SIGTERM select 0"],
    "damage": [
        "check: one bit flipped 0",
        "check: deleted 0",
        "check: run.json one bit flipped 0",
        "check: manifest.jsonl one bit flipped 0",
        "select: gradients/* overwritten by a neighbour 2",
        "select: success.parquet emptied 0",
    ],
    "disk": ["EIO in select 0", "ENOSPC in select 0", "full disk in select 0"],
    "crowd": ["two selects 0"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run of eight prompts without warmup, up to `select`."""
    return Place(tmp_path_factory.mktemp("torture") / "place", rows=8, changes={"warmup": {"size": 0}}, last="select")


@pytest.mark.parametrize("part", TRIALS)
def test_what_is_attacked_holds(place: Place, part: str) -> None:
    known = {trial.name: trial for trial in importlib.import_module(f"tests.torture.{part}").trials()}
    counts = run_trials([known[name] for name in TRIALS[part]], [place])
    print(table({part: counts}))
    assert not counts.failures
    assert counts.tried or counts.skipped
