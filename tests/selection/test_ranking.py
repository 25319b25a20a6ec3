"""Ranks, ties, cluster quotas and sizes on plain arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from learnalign.errors import InputError
from learnalign.selection.ranking import choose, rank, size_of


def test_ties_go_by_ascending_id_as_strings() -> None:
    assert rank(np.array([1.0, 2.0, 2.0, 2.0]), pa.array(["a", "9", "10", "b"])).tolist() == [2, 1, 3, 0]


def test_prompts_without_a_score_come_last() -> None:
    assert rank(np.array([np.nan, -5.0, np.nan, 0.0]), pa.array(["b", "c", "a", "d"])).tolist() == [3, 1, 2, 0]


def test_a_ranking_is_a_sort_by_score_and_id() -> None:
    rng = np.random.default_rng(0)
    score = rng.choice([0.0, -0.0, 1.0, np.nan, *rng.normal(size=50)], 400)
    ids = [f"{id:x}" for id in rng.permutation(400)]
    expected = sorted(range(400), key=lambda i: (np.inf if np.isnan(score[i]) else -score[i], ids[i]))
    chunks = pa.chunked_array([ids[:150], ids[150:]])
    assert rank(score, chunks).tolist() == expected


def test_clusters_give_their_best_in_proportion_to_their_eligible_prompts() -> None:
    order = np.arange(10)
    clusters = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
    eligible = np.ones(10, bool)
    assert choose(order, eligible, 5, clusters).tolist() == [0, 1, 2, 6, 8]
    eligible[:6] = False
    assert choose(order, eligible, 2, clusters).tolist() == [6, 8]


@pytest.mark.parametrize("size", range(1, 41))
def test_cluster_quotas_always_add_up(size: int) -> None:
    rng = np.random.default_rng(size)
    clusters, order = rng.integers(0, 7, 40), rng.permutation(40)
    eligible = rng.random(40) < 0.7
    chosen = choose(order, eligible, size, clusters)
    assert len(chosen) == len(set(chosen)) == min(size, eligible.sum())
    assert eligible[chosen].all()
    for cluster in range(7):
        members = [place for place in order if eligible[place] and clusters[place] == cluster]
        taken = [place for place in chosen if clusters[place] == cluster]
        assert taken == members[: len(taken)]


def test_fill_takes_the_rest_in_order() -> None:
    order, eligible = np.array([3, 1, 0, 2]), np.array([False, True, False, False])
    assert choose(order, eligible, 3, fill=True).tolist() == [1, 3, 0]
    assert choose(order, eligible, 3).tolist() == [1]


@pytest.mark.parametrize(("size", "expected"), [(3, 3), (0.5, 5), (0.26, 3), (0.01, 1), (10, 10), (1.0, 1)])
def test_sizes(size: float, expected: int) -> None:
    assert size_of(size, 10) == expected


@pytest.mark.parametrize("size", [11, 0, -3, 0.0, -0.5, 1.5, True, float("nan")])
def test_sizes_outside_of_the_pool_are_refused(size: float) -> None:
    with pytest.raises(InputError):
        size_of(size, 10)
