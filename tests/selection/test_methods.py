"""Every method's ranking against its definition, on random signals and gradients."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from learnalign.errors import InputError, RunError
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet
from learnalign.selection import compare, select
from learnalign.selection.clusters import kmeans
from learnalign.selection.methods import METHODS
from learnalign.selection.methods.coverage import cover
from learnalign.selection.methods.gain import linear_draw
from learnalign.selection.pool import Pool
from tests.selection.measured import GROUP, measured_run, write_gradients, write_signal

COUNT = 24
RNG = np.random.default_rng(3)
VALUES = RNG.permutation(COUNT) + 0.5


def chosen_places(run: RunDir, method: str, size: int, **options: object) -> list[int]:
    """Places in the pool of the chosen, best first."""
    result = select(run, size, method, **options)  # type: ignore[arg-type]
    rows = pq.read_table(result.scores).to_pylist()
    return [i for _, i in sorted((row["rank"], i) for i, row in enumerate(rows) if row["selected"])]


def scores_of(run: RunDir, method: str) -> np.ndarray:
    return pq.read_table(run.scores_file(method))["score"].to_numpy()


@pytest.mark.parametrize(
    ("method", "signal"),
    [("ppl-top", "perplexity"), ("ifd", "ifd"), ("length", "length"), ("selectit", "selectit"), ("limr", "limr")],
)
def test_signal_methods_take_the_highest(tmp_path: Path, method: str, signal: str) -> None:
    run = measured_run(tmp_path)
    if method == "limr":
        rewards = run.path / "train" / "full" / "rewards.parquet"
        rewards.parent.mkdir(parents=True)
        pq.write_table(pa.table({"id": ["x"]}), rewards)
    write_signal(run, signal, {"value": VALUES})
    assert chosen_places(run, method, 6) == np.argsort(-VALUES)[:6].tolist()


@pytest.mark.parametrize("size", [1, 2, 5, 6, 11, 18, COUNT - 1, COUNT])
@pytest.mark.parametrize("missing", [0, 1])
def test_ppl_middle_takes_the_middle_ranks_of_every_size(tmp_path: Path, size: int, missing: int) -> None:
    run = measured_run(tmp_path)
    values = [None if i < missing else float(value) for i, value in enumerate(np.exp(VALUES / 4))]
    write_signal(run, "perplexity", {"value": pa.array(values, pa.float64())})
    order = sorted((value, i) for i, value in enumerate(values) if value is not None)
    start = (len(order) - min(size, len(order))) // 2
    assert sorted(chosen_places(run, "ppl-middle", size)) == sorted(i for _, i in order[start : start + size])


def test_ppl_middle_ranks_equal_perplexities_by_id(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    write_signal(run, "perplexity", {"value": np.ones(COUNT)})
    ids = [prompt.id for prompt in load_prompts(run)]
    by_id = sorted(range(COUNT), key=lambda i: ids[i])
    assert sorted(chosen_places(run, "ppl-middle", 8)) == sorted(by_id[8:16])


def test_scores_of_the_former_ppl_middle_are_not_taken(tmp_path: Path) -> None:
    """An earlier version took the values nearest the median; its scores file has the fingerprint of revision 1."""
    run = measured_run(tmp_path)
    write_signal(run, "perplexity", {"value": VALUES**3})
    former = dataclasses.replace(METHODS["ppl-median"], name="ppl-middle")
    select(run, 5, "ppl-median")
    table = pq.read_table(run.scores_file("ppl-median")).replace_schema_metadata(None)
    write_parquet(run.scores_file("ppl-middle"), table, former.fingerprint(Pool(run), run.config.seed))
    compare(run, 5)
    assert scores_of(run, "ppl-middle").tolist() != scores_of(run, "ppl-median").tolist()


def test_ppl_median_takes_those_nearest_the_median(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    values = VALUES**2
    write_signal(run, "perplexity", {"value": values})
    distance = np.abs(values - np.median(values))
    places = chosen_places(run, "ppl-median", 5)
    assert distance[places].tolist() == sorted(distance)[:5]


def test_prompts_without_a_value_are_chosen_only_to_fill(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    write_signal(run, "ifd", {"value": pa.array([None] * 20 + [1.0, 4.0, 3.0, 2.0], pa.float64())})
    assert chosen_places(run, "ifd", 10) == [21, 22, 23, 20]
    assert chosen_places(run, "ifd", 10, fill=True)[:4] == [21, 22, 23, 20]
    assert len(chosen_places(run, "ifd", 10, fill=True)) == 10


def brute_similarity(weights: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.array(
        [sum(weights[i] * weights[j] * (units[i] @ units[j]) for j in range(COUNT)) / COUNT for i in range(COUNT)]
    )


def test_cosine_and_dot_equal_their_definitions(tmp_path: Path) -> None:
    correct = [4] * COUNT
    run = measured_run(tmp_path, correct)
    gradients = RNG.standard_normal((COUNT, 12)) * RNG.random((COUNT, 1)) * 5 + 0.3
    write_gradients(run, correct, gradients)
    chosen_places(run, "cosine", 3)
    chosen_places(run, "dot", 3)
    np.testing.assert_allclose(scores_of(run, "cosine"), brute_similarity(np.ones(COUNT), gradients), atol=1e-6)
    np.testing.assert_allclose(scores_of(run, "dot"), (gradients @ gradients.T).mean(axis=1), rtol=1e-5, atol=1e-5)


def test_features_weight_hidden_states_by_learnability(tmp_path: Path) -> None:
    correct = [int(n) for n in RNG.integers(0, GROUP + 1, COUNT)]
    run = measured_run(tmp_path, correct)
    vectors = RNG.standard_normal((COUNT, 10)) + 0.5
    write_signal(run, "features", {"vector": pa.array(list(vectors.astype(np.float32)))})
    chosen_places(run, "features", 3)
    rates = np.array(correct) / GROUP
    np.testing.assert_allclose(scores_of(run, "features"), brute_similarity(rates * (1 - rates), vectors), atol=1e-7)


def test_learnability_is_p_times_one_minus_p(tmp_path: Path) -> None:
    correct = [i % (GROUP + 1) for i in range(COUNT)]
    run = measured_run(tmp_path, correct)
    places = chosen_places(run, "learnability", 4)
    assert {correct[place] for place in places} <= {3, 4, 5}
    np.testing.assert_array_equal(scores_of(run, "learnability"), [c / 8 * (1 - c / 8) for c in correct])


def test_hardest_takes_the_lowest_rate_above_zero_ties_by_id(tmp_path: Path) -> None:
    correct = [None, *[i % (GROUP + 1) for i in range(COUNT - 1)]]
    run = measured_run(tmp_path, correct)
    ids = [prompt.id for prompt in load_prompts(run)]
    order = sorted((c, ids[i], i) for i, c in enumerate(correct) if c)
    assert chosen_places(run, "hardest", 6) == [i for _, _, i in order[:6]]
    assert chosen_places(run, "hardest", COUNT) == [i for _, _, i in order]
    filled = chosen_places(run, "hardest", COUNT, fill=True)
    assert filled[: len(order)] == [i for _, _, i in order]
    assert {correct[i] for i in filled[len(order) :]} == {0, None}


def test_pass_filter_keeps_two_to_g_minus_two_in_seeded_order(tmp_path: Path) -> None:
    correct = [i % (GROUP + 1) for i in range(COUNT)]
    run = measured_run(tmp_path, correct)
    places = chosen_places(run, "pass-filter", COUNT)
    assert sorted(places) == [i for i in range(COUNT) if 2 <= correct[i] <= GROUP - 2]
    assert places != sorted(places)
    assert places == chosen_places(run, "pass-filter", COUNT)


def test_random_is_seeded_and_needs_nothing(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    run.success_file.unlink()
    places = chosen_places(run, "random", 8)
    assert places == chosen_places(run, "random", 8)
    other = RunDir(run.path, run.config.model_copy(update={"seed": 1}))
    assert places != chosen_places(other, "random", 8)


def test_gain_takes_the_highest_concentration_with_the_weight_of_the_config(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    intra, inter = RNG.random(COUNT), [None if i % 3 == 0 else float(RNG.random()) for i in range(COUNT)]
    write_signal(run, "angle", {"value": intra, "c_intra": intra, "c_inter": pa.array(inter, pa.float64())})
    settings = run.config.signal.model_copy(update={"angle_weight": 2.0})
    run = RunDir(run.path, run.config.model_copy(update={"signal": settings}))
    expected = np.array([a + 2 * (b or 0.0) for a, b in zip(intra, inter, strict=True)])
    assert chosen_places(run, "gain", 5) == np.argsort(-expected)[:5].tolist()


@pytest.mark.parametrize("slope", [1, 0, -1])
def test_gain_draws_follow_linear_weights(slope: int) -> None:
    """First draws against the probabilities w_i / Σ w."""
    counts, draws = np.zeros(COUNT), 5000
    concentration = np.linspace(0.2, 0.9, COUNT)
    rng = np.random.default_rng(7)
    for _ in range(draws):
        counts[np.argmax(linear_draw(concentration, slope, rng.random(COUNT)))] += 1
    weights = {1: np.arange(COUNT), 0: np.ones(COUNT), -1: np.arange(COUNT)[::-1]}[slope]
    expected = draws * weights / weights.sum()
    positive = expected > 0
    assert counts[~positive].sum() == 0
    chi_squared = ((counts - expected)[positive] ** 2 / expected[positive]).sum()
    assert chi_squared < 60  # 22–23 degrees of freedom: one in 50,000


def test_gain_draws_with_every_bias(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    intra = pa.array([None, *np.linspace(0.2, 0.9, COUNT - 1)], pa.float64())
    write_signal(run, "angle", {"value": intra, "c_intra": intra, "c_inter": pa.nulls(COUNT, pa.float64())})
    draws = [chosen_places(run, f"gain-{bias}", COUNT) for bias in ("high", "uniform", "low")]
    assert [sorted(draw) for draw in draws] == [list(range(2, COUNT)), list(range(1, COUNT)), list(range(1, COUNT - 1))]
    assert draws[0] == chosen_places(run, "gain-high", COUNT)


def test_kmeans_finds_separate_clusters_and_diversity_takes_the_best_of_each(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    centers = np.eye(3)[np.arange(COUNT) % 3]
    vectors = centers + 0.05 * RNG.standard_normal((COUNT, 3))
    write_signal(run, "features", {"vector": pa.array(list(vectors.astype(np.float32)))})
    write_signal(run, "length", {"value": VALUES})
    places = chosen_places(run, "length", 6, diversity="kmeans:3")
    for cluster in range(3):
        members = [i for i in range(COUNT) if i % 3 == cluster]
        best = sorted(members, key=lambda i: -VALUES[i])[:2]
        assert [place for place in places if place % 3 == cluster] == best
    table = pq.read_table(run.scores_file("length-kmeans3"))
    assert sorted(Counter(table["cluster"].to_pylist()).values()) == [8, 8, 8]
    assert run.subset_file("length-kmeans3").exists()
    assert not run.subset_file("length").exists()


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_kmeans_assigns_every_point_to_its_nearest_mean(count: int) -> None:
    points = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 4)))
    clusters = kmeans(points, count, seed=0)
    means = torch.stack([points[clusters == k].mean(dim=0) for k in range(count)])
    assert torch.equal(clusters, torch.cdist(points, means).argmin(dim=1))
    assert torch.equal(clusters, kmeans(points, count, seed=0))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.reads == "signal"])
def test_a_missing_signal_names_the_command_that_makes_it(tmp_path: Path, name: str) -> None:
    run = measured_run(tmp_path)
    with pytest.raises(RunError, match=rf"run `learnalign signal {run.path} \w+` first"):
        select(run, 3, name)


def test_exact_alignments_work_for_learnalign_only(tmp_path: Path) -> None:
    correct = [4] * COUNT
    run = measured_run(tmp_path, correct, grad={"projection": "exact"})
    alignment = RNG.standard_normal(COUNT)
    ids = [prompt.id for prompt in load_prompts(run)]
    table = pa.table({"id": ids, "norm": np.ones(COUNT), "alignment": alignment})
    write_parquet(run.exact_file, table, run.fingerprint("grad"))
    assert chosen_places(run, "learnalign", 5) == np.argsort(-alignment)[:5].tolist()
    np.testing.assert_allclose(scores_of(run, "learnalign"), alignment / 4)
    with pytest.raises(InputError, match=r"grad\.projection: exact"):
        select(run, 3, "cosine")


def test_all_methods_write_the_same_columns(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    schemas = []
    for name in ("learnalign", "cosine", "learnability", "random"):
        select(run, 3, name)
        schemas.append(pq.read_schema(run.scores_file(name)).remove_metadata())
    assert all(schema == schemas[0] for schema in schemas)
    assert schemas[0].names[:5] == ["id", "row", "score", "rank", "selected"]


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.reads != "signal"])
def test_every_prompt_can_be_chosen_or_is_counted_with_a_reason(tmp_path: Path, name: str) -> None:
    run = measured_run(tmp_path, [0, GROUP, None, *[4] * 17], count=20)
    write_gradients(run, [0, GROUP, None, *[4] * 17], np.random.default_rng(1).standard_normal((20, 3)))
    result = select(run, 2, name)
    assert sum(result.skipped.values()) + result.eligible == result.prompts
    if name == "learnalign":
        assert 0 < result.skipped["no positive score"] == sum(score < 0 for score in scores_of(run, name))


def test_select_says_if_gradients_leave_parameters_out(tmp_path: Path) -> None:
    assert not any("grad.modules" in note for note in select(measured_run(tmp_path / "a"), 3).notes)
    run = measured_run(tmp_path / "b", grad={"modules": "linear"})
    assert any("a part of the parameters (grad.modules: linear)" in note for note in select(run, 3).notes)
    assert not any("grad.modules" in note for note in select(run, 3, "learnability").notes)


def brute_cover(weights: np.ndarray, vectors: np.ndarray, size: int) -> list[tuple[int, float]]:
    """The greedy choice by the definition of f, summed anew for every candidate; the last has what the sum rises by."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, value, chosen = range(len(weights)), 0.0, list[tuple[int, float]]()

    def covered(places: list[int]) -> float:
        return sum(weights[j] * max(0.0, *(units[i] @ units[j] for i in places)) for j in rows) / len(weights)

    for _ in range(size):
        taken = [place for place, _ in chosen]
        best = max((i for i in rows if weights[i] and i not in taken), key=lambda i: (covered([*taken, i]), -i))
        chosen.append((best, covered([*taken, best]) - value))
        value = covered([*taken, best])
    return chosen


def test_coverage_is_the_greedy_choice_of_its_definition(tmp_path: Path) -> None:
    correct = [int(n) for n in RNG.integers(0, GROUP + 1, COUNT)]
    gradients = RNG.standard_normal((COUNT, 5)) + 2 * np.eye(5)[RNG.integers(0, 3, COUNT)]
    run = measured_run(tmp_path, correct)
    write_gradients(run, correct, gradients)
    rates = np.array(correct) / GROUP
    learnable = int((rates * (1 - rates) > 0).sum())
    expected = brute_cover(rates * (1 - rates), gradients, learnable)
    assert chosen_places(run, "coverage", COUNT) == [place for place, _ in expected]
    scores = scores_of(run, "coverage")
    np.testing.assert_allclose([scores[place] for place, _ in expected], [gain for _, gain in expected], atol=1e-7)
    assert all(scores[place] == 0 for place in range(COUNT) if correct[place] in (0, GROUP))


def test_coverage_takes_each_kind_before_a_copy(tmp_path: Path) -> None:
    """Twenty equal gradients and four others: a copy adds nothing, and is chosen only to fill."""
    run = measured_run(tmp_path, [4] * COUNT)
    write_gradients(run, [4] * COUNT, np.repeat(np.eye(5), [20, 1, 1, 1, 1], axis=0))
    assert sorted(chosen_places(run, "coverage", 6)) == [0, 20, 21, 22, 23]
    assert len(chosen_places(run, "coverage", 6, fill=True)) == 6


def test_copies_and_prompts_without_learnability_are_never_chosen_by_coverage(tmp_path: Path) -> None:
    """Thirty kinds, seven copies each, of 512 entries whose cosines float32 rounds; a fifth of the copies have V = 0."""
    rng = np.random.default_rng(4)
    kinds = np.repeat(rng.standard_normal((30, 512)), 7, axis=0)
    units = torch.from_numpy(kinds / np.linalg.norm(kinds, axis=1, keepdims=True)).float()
    gains = cover(units[torch.from_numpy(rng.permutation(210))], rng.random(210) / 4)
    assert (gains > 0).sum() == 30
    correct = [GROUP if i % 5 == 0 else 4 for i in range(COUNT)]
    run = measured_run(tmp_path, correct, grad={"prompts": "correct"})
    write_gradients(run, [4] * COUNT, RNG.standard_normal((COUNT, 16)))
    result = select(run, COUNT, "coverage")
    assert (result.chosen, result.eligible, result.skipped) == (19, 19, {"always solved": 5})


def test_coverage_without_any_gradient_says_what_can_be_done(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * COUNT)
    write_gradients(run, [0] * COUNT, np.ones((COUNT, 4)))
    with pytest.raises(RunError, match=r"nothing to choose: .*24 no gradient.*choose another method"):
        select(run, 3, "coverage")


def test_coverage_refuses_what_memory_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnalign.selection.methods.coverage.ENTRIES", 23 * 23)
    run = measured_run(tmp_path, [4] * COUNT)
    with pytest.raises(RunError, match=r"24 prompts .* at most 23 prompts"):
        select(run, 3, "coverage")
