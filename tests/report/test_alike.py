"""Groups of alike gradients: planted ones are found, and the means beside them are those of all pairs."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from learnalign.report import write_report
from learnalign.report.alike import FEWEST, LANDMARKS, find_alike, split
from learnalign.report.cosines import measure_cosines
from learnalign.report.gather import Gathered
from tests.report.reading import Page
from tests.report.runs import KINDS, add_gradients, add_pool, add_rollouts, add_scores, new_run, whole_run

DIM = 64


def planted(kinds: np.ndarray, noise: float = 0.3) -> np.ndarray:
    """Unit rows near one of orthogonal directions, by kind."""
    rng = np.random.default_rng(0)
    rows = np.eye(DIM)[kinds] + noise * rng.standard_normal((len(kinds), DIM)) / DIM**0.5
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def rows_of(units: np.ndarray, places: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    return [(places[start : start + 50], units[start : start + 50]) for start in range(0, len(units), 50)]


@pytest.mark.parametrize("count", [64, 2 * LANDMARKS + 100], ids=["all are landmarks", "most are not"])
def test_planted_groups_are_found(count: int) -> None:
    kinds = np.random.default_rng(1).permutation(np.arange(count) % 8)
    places = np.arange(count) * 2 + 1  # every other prompt has a gradient
    units = planted(kinds)
    found = find_alike(lambda: rows_of(units, places), 2 * count, seed=0)
    assert found is not None
    assert (found.codes[::2] == -1).all()
    pairs = {*zip(found.codes[places].tolist(), kinds.tolist(), strict=True)}
    assert len(pairs) == 8  # one kind a group, and one group a kind
    assert [found.codes[place] for place in found.typical] == list(range(8))
    assert found.landmarks == min(count, LANDMARKS)
    assert 0.9 < found.within <= 1.0001


def test_the_group_that_differs_most_is_split_first() -> None:
    points = np.concatenate([np.full((10, 2), 5.0), np.array([[0.0, 0.0], [0.0, 1.0]] * 10)])
    assert [sorted(part.tolist()) for part in split(points, 2)] == [list(range(10)), list(range(10, 30))]
    assert sorted(map(len, split(points, 3))) == [10, 10, 10]
    assert len(split(points, 8)) == 3  # what is the same is not split


def test_too_few_prompts_and_equal_gradients_make_no_groups() -> None:
    few, same = planted(np.arange(2 * FEWEST - 1) % 8), planted(np.zeros(40, int), noise=0.0)
    for units in (few, same):
        assert find_alike(lambda units=units: rows_of(units, np.arange(len(units))), len(units), 0) is None
    assert find_alike(list, 5, 0) is None


def test_the_heat_map_has_the_mean_cosines_of_the_groups(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    prompts = add_pool(run, [f"What is {i} + 1?" for i in range(96)])
    correct = [4] * 90 + [0] * 6
    kinds = np.arange(96) % 8
    units = planted(kinds)
    add_rollouts(run, prompts, correct)
    add_gradients(run, prompts, correct, lambda places: units[places])
    chosen = add_scores(run, prompts, np.where(np.arange(96) < 90, np.arange(96) + 1.0, 0.0), 10)
    measured = measure_cosines(Gathered(run))
    assert measured is not None
    assert measured.alike is not None
    codes = measured.alike.codes
    assert (codes[90:] == -1).all()
    for a, b in itertools.product(range(8), repeat=2):
        pairs = [units[i] @ units[j] for i in np.flatnonzero(codes == a) for j in np.flatnonzero(codes == b) if i != j]
        assert measured.means[None][a, b] == pytest.approx(np.mean(pairs), abs=1e-6)
    heat, groups = Page(write_report(run)).tables["cosines"][-2:]
    assert [row[1:] for row in heat[1:]] == [
        [f"{round(value, 3) + 0.0:.3f}".replace("-", "−") for value in row] for row in measured.means[None].tolist()
    ]
    assert [row[3:5] for row in groups[1:]] == [
        [str((codes == code).sum()), str((chosen & (codes == code)).sum())] for code in range(8)
    ]
    for code, row in enumerate(groups[1:]):
        own = [KINDS[i % 3] for i in np.flatnonzero(codes == code)]
        name, share = row[2].rsplit(" ", 1)[0].split(" (")
        assert own.count(name) == max(map(own.count, own))
        assert share == f"{100 * own.count(name) / len(own):.0f}"


def test_a_report_of_few_gradients_has_no_groups(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", [f"What is {i} + 1?" for i in range(12)], size=3)
    text = Page(write_report(run)).sections["cosines"]
    assert "By kind" in text
    assert "similarity" not in text
