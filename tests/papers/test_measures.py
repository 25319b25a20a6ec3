"""From records to the table's numbers, each from a record whose numbers are known."""

from pathlib import Path
from typing import Any

import pytest

from learnalign.papers.cells import cells_of
from learnalign.papers.measures import Entry, entries
from learnalign.papers.results import Results
from learnalign.papers.table import Table

MEASURES = [
    "accuracy",
    "average",
    "best",
    "best-step",
    "steps-to",
    "speed-up",
    "selection-hours",
    "training-hours",
    "cost-speed-up",
]
PANEL = {"config": "papers/tiny", "rows": 48, "parameters": 750_000}


def test_every_measure_is_what_its_line_says(tmp_path: Path) -> None:
    table = _table(tests=["x", "y"], measures=MEASURES, reference="pool")
    costs = {"warmup": _cost(1800.0), "rollout": _cost(900.0), "select": _cost(900.0), "train": _cost(3600.0)}
    pool = {"x": {10: 0.3, 20: 0.5, 40: 0.6}, "y": {10: 0.5, 20: 0.7, 40: 0.6}}
    own = {"x": {10: 0.6, 20: 0.8, 40: 0.7}, "y": {10: 0.4, 20: 0.4, 40: 0.5}}
    found = _found(tmp_path, table, {"pool": (pool, {"train": _cost(7200.0)}), "chosen": (own, costs)})
    assert {key[1:]: value for key, value in found.items() if key[0] == "chosen"} == {
        ("accuracy", "x"): 70.0,
        ("accuracy", "y"): 50.0,
        ("average", None): 60.0,
        ("best", None): pytest.approx(60.0),
        ("best-step", None): 20.0,
        ("steps-to", None): 20.0,  # the first with 0.6, the mean of the pool's 0.6 and 0.6
        ("speed-up", None): 2.0,
        ("selection-hours", None): 1.0,
        ("training-hours", None): 1.0,
        ("cost-speed-up", None): 1.0,
    }


def test_an_accuracy_that_is_never_reached_has_no_step(tmp_path: Path) -> None:
    table = _table(tests=["x"], measures=["steps-to"], reference="pool")
    arms = {"pool": ({"x": {40: 0.9}}, {}), "chosen": ({"x": {20: 0.1, 40: 0.2}}, {})}
    assert _found(tmp_path, table, arms) == {("pool", "steps-to", None): 40.0}


def test_means_and_standard_errors_are_over_seeds() -> None:
    more: dict[str, Any] = {"stds": {}, "published": 2.5, "published_std": None}
    entry = Entry(panel="p", arm="a", size=5, measure="best", test=None, values={0: 1.0, 1: 2.0, 2: 6.0}, **more)
    assert (entry.mean, entry.difference) == (3.0, 0.5)
    assert entry.standard_error == pytest.approx((14 / 2 / 3) ** 0.5)


def test_published_numbers_stand_by_size_and_once_for_an_arm_without_sizes(tmp_path: Path) -> None:
    published = {"p": {"pool": [[77.0, 0.3]], "chosen": [74.8, 77.5]}}
    table = _table(tests=["x"], sizes=[12, 24], published=published)
    found = {
        (e.arm, e.size): (e.published, e.published_std) for e in entries(table, cells_of(table), Results(tmp_path))
    }
    assert found == {
        ("pool", 12): (77.0, 0.3),
        ("pool", 24): (77.0, 0.3),
        ("chosen", 12): (74.8, None),
        ("chosen", 24): (77.5, None),
    }


def _table(**more: Any) -> Table:
    arms: dict[str, Any] = {"pool": {"train": "pool"}, "chosen": {}}
    return Table.model_validate({"title": "t", "panels": {"p": PANEL}, "arms": arms, "sizes": [12], **more})


def _cost(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "cpu_seconds": seconds}


def _found(directory: Path, table: Table, arms: dict[str, tuple[dict[str, dict[int, float]], Any]]) -> dict[Any, float]:
    """Ours by arm, measure and test, of records with these accuracies by test and step, and these costs."""
    results, cells = Results(directory), cells_of(table)
    for cell in cells:
        accuracy, costs = arms[cell.name]
        steps = {test: {str(step): {"value": value} for step, value in own.items()} for test, own in accuracy.items()}
        about = {"cell": cell.key, "fingerprint": cell.fingerprint, "costs": costs, "training": {}}
        results.add({**about, "accuracy": steps})
    found = entries(table, cells, Results(directory))
    return {(each.arm, each.measure, each.test): each.values[0] for each in found if each.values}
