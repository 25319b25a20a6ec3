"""The subset against an independent float64 computation from the stored files, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from learnalign.errors import InputError, RunError
from learnalign.rundir import Quarantined, RunDir
from learnalign.rundir.files import write_parquet
from learnalign.selection import select
from tests.selection.measured import GROUP, measured_run, sources, write_gradients


def brute_force(run: RunDir) -> dict[str, float]:
    """Scores by the definition: every entry of S in float64, from success.parquet and the stored features."""
    learnability = {row["id"]: row["learnability"] for row in pq.read_table(run.success_file).to_pylist()}
    feature: dict[str, np.ndarray] = {}
    for path in sorted((run.path / "gradients").glob("part-*.safetensors")):
        with safe_open(path, framework="np") as file:
            rows = file.get_tensor("features").astype(np.float64)
            feature |= dict(zip(json.loads(file.metadata()["ids"]), rows, strict=True))
    scores = {}
    for i in learnability:
        total = 0.0
        for j in learnability:
            if i in feature and j in feature:
                cosine = feature[i] @ feature[j] / np.linalg.norm(feature[i]) / np.linalg.norm(feature[j])
                total += learnability[i] * learnability[j] * cosine
        scores[i] = total / len(learnability)
    return scores


def score_rows(run: RunDir, method: str = "learnalign") -> list[dict[str, Any]]:
    return pq.read_table(run.scores_file(method)).to_pylist()


def subset_ids(run: RunDir, method: str = "learnalign") -> list[str]:
    """The ids of the subset file's rows, in its order."""
    return [json.loads(line)["id"] for line in run.subset_file(method).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("scoring", ["matrix", "centroid", "auto"])
def test_subset_equals_an_independent_computation(tmp_path: Path, scoring: Any) -> None:
    run = measured_run(tmp_path)
    result = select(run, 7, scoring=scoring)
    expected = brute_force(run)
    rows = score_rows(run)
    np.testing.assert_allclose([row["score"] for row in rows], [expected[row["id"]] for row in rows], atol=1e-7)
    assert subset_ids(run) == sorted(expected, key=lambda id: (-expected[id], id))[:7]
    assert result.chosen == 7
    assert [row["id"] for row in sorted(rows, key=lambda row: row["rank"]) if row["selected"]] == subset_ids(run)


def test_matrix_and_centroid_agree_to_float32_rounding(tmp_path: Path) -> None:
    run = measured_run(tmp_path, count=60, dim=32)
    scores = {}
    for way in ("matrix", "centroid"):
        assert select(run, 5, scoring=way).way == way
        scores[way] = np.array([row["score"] for row in score_rows(run)])
    np.testing.assert_allclose(scores["matrix"], scores["centroid"], rtol=2e-6, atol=1e-9)


def test_all_prompts_have_a_row_and_skipped_ones_score_zero_without_alignment(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0, GROUP, None, 4, 3, 5, 2, 1, 6, 7, 4, 4], count=12)
    result = select(run, 3)
    rows = score_rows(run)
    assert [row["skipped"] for row in rows[:4]] == ["never solved", "always solved", "not scored", None]
    assert [row["score"] for row in rows[:3]] == [0.0] * 3
    assert [row["alignment"] for row in rows[:3]] == [None] * 3
    assert sorted(row["rank"] for row in rows) == list(range(1, 13))
    assert result.skipped == {"never solved": 1, "always solved": 1, "not scored": 1}
    assert result.prompts == 12 >= result.eligible >= result.chosen == 3


def test_a_failed_gradient_is_skipped_with_its_reason(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * 6, count=6)
    id = pq.read_table(run.prompts_file)["id"][2].as_py()
    write_gradients(run, [4, 4, 0, 4, 4, 4], np.random.default_rng(1).standard_normal((6, 8)) + 1)
    run.quarantine("grad", [Quarantined(id=id, reason="its gradient is not finite (NaN or infinite)")])
    result = select(run, 2)
    row = score_rows(run)[2]
    assert (row["id"], row["score"], row["alignment"]) == (id, 0.0, None)
    assert result.skipped == {"its gradient is not finite (NaN or infinite)": 1}


def test_rows_are_written_verbatim_and_copied_elsewhere(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    select(run, 5, format="source", output=tmp_path / "elsewhere.jsonl")
    lines = run.subset_file("learnalign").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    assert set(lines) <= set(sources(run))
    assert (tmp_path / "elsewhere.jsonl").read_bytes() == run.subset_file("learnalign").read_bytes()


def test_a_selection_reports_its_stability(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [1, 2, 3, 4, 5, 6, 7, 0] * 3)
    result = select(run, 6)
    rows = score_rows(run)
    kept = [row["kept"] for row in rows if row["selected"]]
    assert all(row["kept"] is None for row in rows if not row["selected"])
    assert all(0.0 <= share <= 1.0 for share in kept)
    assert result.stability is not None
    assert result.stability.count_at_90 == sum(share >= 0.9 for share in kept)
    assert result.stability.overlap == pytest.approx(np.mean(kept))
    often = f"{result.stability.count_at_90} of them in at least 90 % of {result.stability.draws} draws"
    assert f"{100 * np.mean(kept):.0f} % of the 6 chosen stay on average ({often})" in result.notes[0]
    assert ("raise rollout.num_generations" in result.notes[0]) == (np.mean(kept) < 0.8)


def test_a_fraction_counts_the_whole_pool(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * 24)
    assert select(run, 0.25).chosen == 6
    assert select(run, 0.001).chosen == 1


def test_fewer_positive_scores_than_requested_are_written_and_reported(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0] * 20 + [4, 5, 3, 4])
    result = select(run, 10)
    assert result.chosen == result.eligible == len(subset_ids(run)) <= 4
    assert "fewer than 10; --fill" in result.notes[0]


def test_fill_continues_down_the_ranking(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0] * 20 + [4, 5, 3, 4])
    result = select(run, 10, fill=True)
    rows = sorted(score_rows(run), key=lambda row: row["rank"])
    assert subset_ids(run) == [row["id"] for row in rows[:10]]
    assert result.chosen == 10 > result.eligible


def test_save_matrix_writes_s_whose_row_means_are_the_scores(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    select(run, 3, save_matrix=True)
    with safe_open(run.path / "scores" / "matrix.safetensors", framework="np") as file:
        matrix = file.get_tensor("S")
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-7)
    np.testing.assert_allclose(
        matrix.astype(np.float64).mean(axis=1), [row["score"] for row in score_rows(run)], atol=1e-8
    )


@pytest.mark.parametrize("size", [25, 0, -1, 1.5])
def test_a_size_outside_of_the_pool_is_refused(tmp_path: Path, size: float) -> None:
    with pytest.raises(InputError, match="24 prompts|size"):
        select(measured_run(tmp_path), size)


@pytest.mark.parametrize("correct", [0, GROUP, None])
def test_nothing_to_learn_from_is_refused_with_the_distribution_of_p(tmp_path: Path, correct: int | None) -> None:
    run = measured_run(tmp_path, [correct] * 24)
    word = {0: "24 never solved", GROUP: "24 always solved", None: "24 not scored"}[correct]
    with pytest.raises(RunError, match=f"nothing to learn from.*{word}.*Ways out.*`learnalign show {run.path}`"):
        select(run, 3)
    assert not run.subset_file("learnalign").exists()


def test_a_missing_input_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    run.gradients_file(run.shards()[1]).unlink()
    with pytest.raises(RunError, match=f"learnalign grad {run.path}"):
        select(run, 3)
    run.success_file.unlink()
    with pytest.raises(RunError, match=f"learnalign rollout {run.path}"):
        select(run, 3)


def test_inputs_of_other_settings_are_refused(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    changed = run.config.model_copy(update={"grad": run.config.grad.model_copy(update={"beta": 0.5})})
    with pytest.raises(InputError, match=r"part-00000.safetensors was made with other settings"):
        select(RunDir(run.path, changed), 3)
    changed = run.config.model_copy(update={"rollout": run.config.rollout.model_copy(update={"temperature": 0.5})})
    with pytest.raises(InputError, match=r"success.parquet was made with other settings"):
        select(RunDir(run.path, changed), 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "lernalign"}, r"method lernalign: unknown \(did you mean learnalign\?\); known are learnalign, "),
        ({"format": "yaml"}, "format yaml: unknown; known are messages, source, trl"),
        ({"scoring": "fast"}, "scoring fast: unknown; known are auto, matrix, centroid"),
        ({"diversity": "kmeans"}, "expected kmeans:K"),
        ({"method": "random", "save_matrix": True}, "no score matrix"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    run = measured_run(tmp_path)
    with pytest.raises(InputError, match=words):
        select(run, 3, **arguments)
    assert not (run.path / "scores").exists()


def test_incomplete_success_rates_are_refused(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    table = pq.read_table(run.success_file).slice(0, 20)
    write_parquet(run.success_file, table, run.fingerprint("rollout"))
    with pytest.raises(RunError, match="lacks 4 of 24 prompts"):
        select(run, 3)
