"""A few trials of every part of `make torture`, on a run small enough to make in seconds."""

from __future__ import annotations

import functools

import pytest

from tests.torture import crowd, damage, disk, kills
from tests.torture.places import Place
from tests.torture.trials import Trial, run_trials, table
from tests.torture.wounds import COPIED


def select_with(pattern: str, kind: str) -> Trial:
    attack = functools.partial(damage.attack_command, command="select", pattern=pattern, damage=kind)
    return Trial(f"select: {pattern} {kind}", attack)


def named(trials: list[Trial], *names: str) -> list[Trial]:
    return [next(trial for trial in trials if trial.name == name) for name in names]


TRIALS = {
    "kills": named(kills.trials(), "SIGKILL rollout 0", "SIGTERM select 0"),
    "damage": [
        *named(damage.trials(), "check: flips 0", "check: deleted 0", "check: run.json one bit flipped 0"),
        select_with("gradients/*", COPIED),
        select_with("success.parquet", "emptied"),
    ],
    "disk": named(disk.trials(), "EIO in select 0", "full disk in select 0"),
    "crowd": named(crowd.trials(), "two selects 0"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run of eight prompts without warmup, up to `select`."""
    return Place(tmp_path_factory.mktemp("torture") / "place", rows=8, changes={"warmup": {"size": 0}}, last="select")


@pytest.mark.slow
@pytest.mark.parametrize("part", TRIALS)
def test_what_is_attacked_holds(place: Place, part: str) -> None:
    counts = run_trials(TRIALS[part], [place])
    print(table({part: counts}))
    assert not counts.failures
    assert counts.tried or counts.skipped
