"""S by landmarks against S by brute force in float64."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from learnalign.errors import InputError
from learnalign.selection import select
from learnalign.selection.nystrom import Landmarks, Rows, find_landmarks, measure_error, sample
from tests.selection.measured import measured_run

COUNT, DIM = 200, 64
RATES = np.random.default_rng(1).integers(1, 8, COUNT) / 8
WEIGHTS = RATES * (1 - RATES)


def unit_rows(count: int = COUNT, dim: int = DIM, rank: int | None = None) -> np.ndarray:
    """Rows whose directions matter less and less; of the rank, if one is given."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((count, dim)) / np.arange(1, dim + 1)
    if rank is not None:
        rows = rng.standard_normal((count, rank)) @ rows[:rank]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def in_blocks(units: np.ndarray, size: int = 32, order: np.ndarray | None = None) -> Rows:
    places = np.arange(len(units)) if order is None else order

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(units), size):
            part = places[start : start + size]
            yield part, units[part].astype(np.float32)

    return rows


def approximation(units: np.ndarray, landmarks: Landmarks) -> np.ndarray:
    """S by landmarks, all n × n entries in float64."""
    factor = WEIGHTS[:, None] * landmarks.factor(units.astype(np.float32)).astype(np.float64)
    return factor @ factor.T


def brute_force(units: np.ndarray) -> np.ndarray:
    return np.outer(WEIGHTS, WEIGHTS) * (units @ units.T)


def test_it_is_c_times_the_pseudo_inverse_of_w_times_c_transposed() -> None:
    units = unit_rows()
    landmarks = find_landmarks(in_blocks(units), WEIGHTS, 20, seed=3)
    exact = brute_force(units)
    c, w = exact[:, landmarks.places], exact[np.ix_(landmarks.places, landmarks.places)]
    np.testing.assert_allclose(approximation(units, landmarks), c @ np.linalg.pinv(w, hermitian=True) @ c.T, atol=2e-6)


def test_rows_and_columns_of_landmarks_are_exact_and_no_cosine_is_off_by_more_than_the_bound() -> None:
    units = unit_rows()
    landmarks = find_landmarks(in_blocks(units), WEIGHTS, 20, seed=0)
    factor = landmarks.factor(units.astype(np.float32)).astype(np.float64)
    errors = np.abs(factor @ factor.T - units @ units.T)
    assert errors[landmarks.places].max() < 1e-6
    missing = np.sqrt(np.maximum(1 - (factor**2).sum(axis=1), 0))
    assert (errors <= np.outer(missing, missing) + 1e-6).all()
    assert errors.max() > 0.01  # it is no exact computation by another name


@pytest.mark.parametrize(
    ("count", "rank"), [(COUNT, None), (DIM, None), (12, 12), (COUNT + 50, None), (40, 12)], ids=str
)
def test_as_many_landmarks_as_the_rank_give_s_itself(count: int, rank: int | None) -> None:
    """More than the rank, too: W is then singular."""
    units = unit_rows(rank=rank)
    landmarks = find_landmarks(in_blocks(units), WEIGHTS, count, seed=0)
    assert len(landmarks.places) == min(count, COUNT)
    assert len(landmarks.basis) == (rank or DIM)
    np.testing.assert_allclose(approximation(units, landmarks), brute_force(units), atol=1e-6)


def test_copies_of_a_landmark_change_nothing() -> None:
    units = unit_rows()
    twice = np.concatenate([units[:50]] * 4)
    landmarks = find_landmarks(in_blocks(twice), np.ones(COUNT), COUNT, seed=0)
    assert len(landmarks.basis) == 50
    assert np.isfinite(landmarks.basis).all()
    np.testing.assert_allclose(landmarks.factor(twice.astype(np.float32)) @ landmarks.basis, twice, atol=1e-5)


def test_the_error_falls_with_the_landmarks() -> None:
    units = unit_rows()
    exact = brute_force(units)
    errors = [
        np.mean(
            [
                np.linalg.norm(approximation(units, find_landmarks(in_blocks(units), WEIGHTS, count, seed)) - exact)
                for seed in range(4)
            ]
        )
        for count in (4, 8, 16, 32, 48)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 10


def test_the_measured_error_is_that_of_brute_force() -> None:
    units = unit_rows()
    landmarks = find_landmarks(in_blocks(units), WEIGHTS, 20, seed=0)
    error = measure_error(in_blocks(units), WEIGHTS, landmarks, seed=0)
    pairs, exact = ~np.eye(COUNT, dtype=bool), brute_force(units)
    wrong = (approximation(units, landmarks) - exact)[pairs]
    cosines = wrong / np.outer(WEIGHTS, WEIGHTS)[pairs]
    assert (error.landmarks, error.prompts) == (20, COUNT)
    assert error.relative == pytest.approx(np.linalg.norm(wrong) / np.linalg.norm(exact[pairs]), rel=1e-4)
    assert error.cosine == pytest.approx(np.sqrt(np.mean(cosines**2)), rel=1e-4)
    assert error.cosine_max == pytest.approx(np.abs(cosines).max(), rel=1e-4)


def test_a_draw_depends_on_the_seed_and_on_no_blocks() -> None:
    units, chances = unit_rows(), WEIGHTS**2
    places, rows = sample(in_blocks(units), chances, 30, 5)
    for other in (in_blocks(units, 7), in_blocks(units, 200, np.random.default_rng(2).permutation(COUNT))):
        again, own = sample(other, chances, 30, 5)
        assert again.tolist() == places.tolist()
        np.testing.assert_array_equal(own, rows)
    np.testing.assert_array_equal(rows, units[places].astype(np.float32))
    assert len({*places.tolist()}) == 30
    assert sample(in_blocks(units), chances, 30, 6)[0].tolist() != places.tolist()


def test_prompts_are_drawn_by_their_chances_without_replacement() -> None:
    """Of chances 1, 2, 3 and 0, two: by the sum over the orders of the draws."""
    chances, units = np.array([1.0, 2.0, 3.0, 0.0, np.nan]), np.eye(5)
    drawn = [tuple(sample(in_blocks(units), chances, 2, key)[0].tolist()) for key in range(3000)]
    expected = {(0, 1): 1 / 6 * 2 / 5 + 2 / 6 * 1 / 4, (0, 2): 1 / 6 * 3 / 5 + 3 / 6 * 1 / 3}
    expected[1, 2] = 1 - sum(expected.values())
    assert {*drawn} == {*expected}
    for pair, share in expected.items():
        assert drawn.count(pair) / 3000 == pytest.approx(share, abs=0.03)


def test_select_writes_the_factor_of_s_and_says_how_far_it_is_off(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    plain = select(run, 3).subset.read_bytes()
    result = select(run, 3, save_matrix=True, save_nystrom=6)
    assert result.subset.read_bytes() == plain
    scores = run.path / "scores"
    with safe_open(scores / "nystrom.safetensors", framework="np") as file:
        factor, metadata = file.get_tensor("factor").astype(np.float64), file.metadata()
    with safe_open(scores / "matrix.safetensors", framework="np") as file:
        exact = file.get_tensor("S").astype(np.float64)
    landmarks, error = json.loads(metadata["landmarks"]), json.loads(metadata["error"])
    assert factor.shape == (24, 6)
    np.testing.assert_allclose((factor @ factor.T)[landmarks], exact[landmarks], atol=1e-6)
    there = np.flatnonzero(exact.diagonal())
    part = np.ix_(there, there)
    pairs = ~np.eye(len(there), dtype=bool)
    wrong, size = (np.linalg.norm(each[part][pairs]) for each in (factor @ factor.T - exact, exact))
    assert error["relative"] == pytest.approx(wrong / size, rel=1e-3)
    assert error["relative"] > 0.01
    assert any(
        f"by 6 landmarks; between {len(there)} sampled prompts, S is off by {100 * wrong / size:.2g} %" in note
        for note in result.notes
    )
    select(run, 3, save_nystrom=24)
    with safe_open(scores / "nystrom.safetensors", framework="np") as file:
        factor = file.get_tensor("factor")
    np.testing.assert_allclose(factor @ factor.T, exact, atol=1e-6)


def test_landmarks_are_refused_where_there_is_no_s(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    with pytest.raises(InputError, match="save_nystrom 0: give the number of landmarks"):
        select(run, 3, save_nystrom=0)
    with pytest.raises(InputError, match="no score matrix"):
        select(run, 3, method="random", save_nystrom=4)
