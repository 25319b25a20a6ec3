"""`compare` against overlaps, correlations and means computed from the files."""

from __future__ import annotations

import errno
import statistics
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from learnalign.errors import InputError, RunError
from learnalign.rundir import RunDir
from learnalign.selection import compare, select
from learnalign.selection.overlap import spearman
from tests.gradients.pool import run_with_rollouts
from tests.selection.measured import measured_run, write_signal, write_success

VALUES = np.random.default_rng(5).permutation(24) + 0.5


def chosen_ids(run: RunDir, method: str) -> set[str]:
    return {row["id"] for row in pq.read_table(run.scores_file(method)).to_pylist() if row["selected"]}


def test_overlaps_are_of_the_subsets_that_select_writes(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    write_signal(run, "length", {"value": VALUES})
    comparison = compare(run, 6)
    assert {"learnalign", "cosine", "dot", "learnability", "random", "length"} <= comparison.subsets.keys()
    for a in comparison.subsets:
        one = chosen_ids(run, a)
        assert comparison.subsets[a].prompts == len(one) <= 6
        for b in comparison.subsets:
            other = chosen_ids(run, b)
            assert comparison.jaccard[a][b] == pytest.approx(len(one & other) / len(one | other))
            assert comparison.share[a][b] == pytest.approx(len(one & other) / len(one))


def test_means_and_difficulty_describe_the_chosen(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    comparison = compare(run, 6)
    rates = {row["id"]: row["success_rate"] for row in pq.read_table(run.success_file).to_pylist()}
    for name, subset in [*comparison.subsets.items(), ("", comparison.pool)]:
        chosen = [rates[id] for id in (chosen_ids(run, name) if name else rates)]
        assert subset.success_rate == pytest.approx(statistics.mean(chosen))
        assert subset.learnability == pytest.approx(statistics.mean(p * (1 - p) for p in chosen))
        assert subset.difficulty["never solved"] == chosen.count(0.0) / len(chosen)
        assert subset.difficulty["hard"] == sum(0 < p < 0.5 for p in chosen) / len(chosen)
        assert sum(subset.difficulty.values()) == pytest.approx(1.0)


def test_lengths_are_counted_in_the_rollouts(tmp_path: Path) -> None:
    run = run_with_rollouts(tmp_path)
    comparison = compare(run, 4)
    rows = [row for path in sorted((run.path / "rollouts").iterdir()) for row in pq.read_table(path).to_pylist()]
    by_id: dict[str, list[dict[str, list[int]]]] = {}
    for row in rows:
        by_id.setdefault(row["id"], []).append(row)
    chosen = chosen_ids(run, "random")
    prompts = [len(by_id[id][0]["prompt_ids"]) for id in chosen]
    answers = [statistics.mean(len(row["completion_ids"]) for row in by_id[id]) for id in chosen]
    assert comparison.subsets["random"].prompt_tokens == pytest.approx(statistics.mean(prompts))
    assert comparison.subsets["random"].answer_tokens == pytest.approx(statistics.mean(answers))


def test_methods_without_inputs_are_listed_with_the_command_that_makes_them(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    missing = compare(run, 3).missing
    assert f"learnalign signal {run.path} angle" in missing["gain"]
    assert f"learnalign signal {run.path} perplexity" in missing["ppl-top"]


def test_existing_selections_set_the_size_and_are_not_rewritten(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * 24)
    select(run, 5)
    before = run.subset_file("learnalign").read_bytes(), run.scores_file("learnalign").read_bytes()
    assert compare(run).size == 5
    assert compare(run, 9).subsets["learnalign"].prompts <= 9
    assert (run.subset_file("learnalign").read_bytes(), run.scores_file("learnalign").read_bytes()) == before


def test_scores_of_other_success_rates_are_recomputed(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * 24)
    compare(run, 5)
    write_success(run, [4] * 12 + [1] * 12)
    rows = pq.read_table(run.success_file).to_pylist()
    assert compare(run, 12).subsets["learnability"].success_rate == 0.5
    assert sum(row["success_rate"] == 0.5 for row in rows) == 12


def test_selections_with_diversity_are_compared_too(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * 24)
    vectors = np.random.default_rng(0).standard_normal((24, 4)).astype(np.float32)
    write_signal(run, "features", {"vector": list(vectors)})
    select(run, 6, diversity="kmeans:3")
    comparison = compare(run)
    assert comparison.size == 3  # select.size: learnalign itself was not run before
    assert comparison.subsets["learnalign-kmeans3"].prompts == 3
    with pytest.raises(InputError, match="more than the 24 prompts"):
        compare(run, 25)


def test_spearman_equals_pearson_of_ranks_by_hand() -> None:
    one, other = np.array([1.0, 5.0, 5.0, -2.0, np.nan]), np.array([0.5, 2.0, 1.0, 1.0, 7.0])
    ranks = [[2.0, 3.5, 3.5, 1.0], [1.0, 4.0, 2.5, 2.5]]
    assert spearman(one, other) == pytest.approx(statistics.correlation(*ranks))
    assert spearman(one, np.zeros(5)) is None
    assert spearman(one, np.full(5, np.nan)) is None


def test_methods_without_inputs_leave_the_stage_done(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    assert compare(run).missing
    assert compare(run).missing
    assert run.is_finished("select")


def test_a_method_whose_subset_is_missing_or_damaged_is_selected_again(tmp_path: Path) -> None:
    """Missing as a kill between the two files leaves it."""
    run = measured_run(tmp_path)
    compare(run)
    subset = run.subset_file("random")
    for file in (subset, subset.with_suffix(".json")):
        content = file.read_bytes()
        file.unlink()
        compare(run)
        assert file.read_bytes() == content
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        compare(run)
        assert file.read_bytes() == content


def test_a_disk_that_refuses_is_no_missing_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = measured_run(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("learnalign.rundir.files.whole.os.fsync", refuse)
    with pytest.raises(RunError, match="no space left on the disk"):
        compare(run)
