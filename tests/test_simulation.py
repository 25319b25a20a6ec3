"""The README's table of hours by prompts and GPUs is the stored simulation, and that is what `plan` says today."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from learnalign.published import host_rates
from tests.benchmarks.simulation import breaks_at, simulate, table

ROOT = Path(__file__).parents[1]
STORED = json.loads((ROOT / "tests" / "benchmarks" / "results" / "simulation.json").read_text())
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_has_the_stored_table_and_where_each_limit_is_met() -> None:
    assert "\n".join(table(STORED["simulated"])) in README
    assert f"in this order: {breaks_at(STORED['simulated'])} prompts" in " ".join(README.split())


def test_the_plan_still_says_what_was_stored(tmp_path: Path) -> None:
    assert simulate(tmp_path / "model") == STORED["simulated"]


def test_the_host_rates_that_ship_are_those_measured() -> None:
    assert asdict(host_rates()) == STORED["host"]


def test_hours_fall_with_gpus_down_to_what_does_not_scale_and_grow_with_rows() -> None:
    for one in STORED["simulated"]:
        highs = [high for _, high in one["hours"].values()]
        assert highs == sorted(highs, reverse=True)
    small, large = STORED["simulated"][0], STORED["simulated"][-1]
    assert small["hours"]["64"] == small["hours"]["1024"]  # four shards
    assert large["hours"]["1"][1] > 100_000
