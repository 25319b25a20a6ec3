"""The stage on a run directory: files, skipped prompts, quarantine, resuming."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from learnalign.errors import RunError
from learnalign.gradients import GradientEngine, GradientSettings, Sample, UsedRollout, grad
from learnalign.gradients import stage as stage_module
from learnalign.gradients.capture.budget import Budget
from learnalign.policy import load_policy
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet, read_safetensors
from learnalign.selection import select
from tests.gradients.pool import run_with_rollouts


def stored(run: RunDir) -> dict[str, tuple[torch.Tensor, float]]:
    features = {}
    for shard in run.shards():
        tensors, metadata = read_safetensors(run.gradients_file(shard))
        for id, feature, norm in zip(json.loads(metadata["ids"]), tensors["features"], tensors["norms"], strict=True):
            features[id] = (feature, float(norm))
    return features


def test_every_prompt_has_a_unit_feature_or_a_counted_reason(tmp_path):
    run = run_with_rollouts(tmp_path)
    result = grad(run)
    features = stored(run)
    assert len(features) == result.features == 5  # of 12 prompts: 3 with 2 of 4 correct, 2 with 1 of 3
    assert result.skipped == {"solved": 3, "unsolved": 2, "unscored": 2}
    assert run.read_record()["stages"]["grad"]["counts"]["features"] == 5
    for feature, norm in features.values():
        assert feature.shape == (512,)
        assert feature.float().norm() == pytest.approx(1.0, abs=1e-4)  # stored in float16
        assert norm > 0


@pytest.mark.parametrize("rewards", [[[1.0, 0.0]], [[0.0, 0.0]]])
def test_prompts_left_out_at_rollout_are_counted_as_such(tmp_path, rewards):
    run = run_with_rollouts(tmp_path, [*rewards, []], count=4)
    result = grad(run)
    assert result.skipped["left_out"] == 2
    assert "no_completions" not in result.skipped
    assert result.features + sum(result.skipped.values()) == 4


def assert_stored_alike(one: RunDir, two: RunDir) -> None:
    first, second = stored(one), stored(two)
    assert first.keys() == second.keys()
    for id, (feature, norm) in first.items():
        torch.testing.assert_close(feature, second[id][0], atol=1e-4, rtol=0)
        assert norm == pytest.approx(second[id][1], rel=1e-4)


@pytest.mark.parametrize("projection", ["kronecker", pytest.param("exact", marks=pytest.mark.slow)])
def test_shards_that_are_planned_together_have_files_of_their_own(tmp_path, monkeypatch, projection):
    """As on a GPU: windows of two shards, since each prompt has about 30 tokens."""
    settings = {"grad": {"projection": projection}, "executor": {"shard_size": 3}}
    one, two = (run_with_rollouts(tmp_path / name, **settings) for name in ("alone", "together"))
    alone = grad(one)
    taken = []
    monkeypatch.setattr(Budget, "window", property(lambda budget: 70))
    monkeypatch.setattr(GradientEngine, "over_rows", counted_samples(GradientEngine.over_rows, taken))
    assert grad(two) == alone
    assert any(count > 2 for count in taken)
    if projection == "exact":
        files = (read_parquet(run.exact_file).to_pandas().set_index("id") for run in (one, two))
        pd.testing.assert_frame_equal(*files, rtol=1e-4)
        return
    assert_stored_alike(one, two)


def counted_samples(over_rows, taken):
    def call(engine, samples, *rest):
        taken.append(len(samples))
        return over_rows(engine, samples, *rest)

    return call


def test_features_do_not_depend_on_sharding(tmp_path):
    one, two = (run_with_rollouts(tmp_path / str(size), executor={"shard_size": size}) for size in (3, 12))
    grad(one)
    grad(two)
    assert_stored_alike(one, two)


def test_finished_shards_are_not_computed_again(tmp_path, monkeypatch):
    run = run_with_rollouts(tmp_path)
    grad(run)
    kept, gone = run.gradients_file(run.shards()[0]), run.gradients_file(run.shards()[1])
    stamp, content = kept.stat().st_mtime_ns, stored(run)
    gone.unlink()
    assert grad(run).features == 5
    assert kept.stat().st_mtime_ns == stamp
    assert all(torch.equal(feature, content[id][0]) for id, (feature, _) in stored(run).items())
    monkeypatch.setattr(stage_module, "make_engine", None)  # nothing is loaded when nothing is left to do
    grad(run)


def poison(run: RunDir, monkeypatch, value: float) -> str:
    """Make the engine give `value` everywhere in the feature of the first sample of the first shard."""
    make_engine = stage_module.make_engine
    ids = []

    def poisoned(run):
        engine = make_engine(run)
        compute = engine.features

        def features(samples, advance):
            rows = compute(samples)
            if not ids:
                ids.append(samples[0].id)
                rows[0] = value
            return rows

        engine.features = features
        return engine

    monkeypatch.setattr(stage_module, "make_engine", poisoned)
    return ids


@pytest.mark.parametrize(
    ("value", "reason"), [(float("nan"), "not finite"), (float("inf"), "not finite"), (0.0, "zero")]
)
def test_bad_gradients_are_quarantined_with_a_reason(tmp_path, monkeypatch, value, reason):
    run = run_with_rollouts(tmp_path, grad={"max_bad": 0.5})
    ids = poison(run, monkeypatch, value)
    result = grad(run)
    assert list(result.bad) == ids
    assert ids[0] not in stored(run)
    lines = [line for line in run.quarantined() if line["stage"] == "grad"]
    assert [line["id"] for line in lines] == ids
    assert reason in lines[0]["reason"]
    assert grad(run).bad == result.bad  # also when all is done already


def test_too_many_bad_gradients_fail_the_stage(tmp_path, monkeypatch):
    run = run_with_rollouts(tmp_path)
    ids = poison(run, monkeypatch, float("nan"))
    with pytest.raises(RunError, match=r"1 of 5 gradients are bad, more than grad.max_bad") as failure:
        grad(run)
    assert ids[0] in str(failure.value)
    assert not run.is_finished("grad")


def test_solved_prompts_have_the_gradient_of_a_correct_rollout_if_asked_for(tmp_path):
    """The ablation without learnability needs them: their direction is that of any correct rollout with a positive advantage."""
    groups = [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, None, 1.0]]
    run = run_with_rollouts(tmp_path, groups, 4, grad={"prompts": "correct", "beta": 0.0})
    assert grad(run).skipped == {"unsolved": 1}
    tensors, metadata = read_safetensors(run.gradients_file(run.shards()[0]))
    ids, prompts = json.loads(metadata["ids"]), load_prompts(run)
    assert ids == [prompts[i].id for i in (0, 1, 3)]
    rows = read_parquet(run.rollouts_file(run.shards()[0])).to_pylist()
    policy = load_policy(run).double()
    for i, feature in zip((0, 3), tensors["features"][[0, 2]], strict=True):
        first = next(row for row in rows if row["id"] == prompts[i].id and row["sample"] == 0)
        sample = Sample("x", first["prompt_ids"], [UsedRollout(first["completion_ids"], 1.0)])
        expected = GradientEngine(
            policy, GradientSettings(beta=0.0, dim=run.config.grad.dim, width=run.config.grad.width)
        ).features([sample])[0]
        assert torch.cosine_similarity(feature.double(), expected, dim=0) > 1 - 1e-4
    assert select(run, 3, "cosine", fill=True).eligible == 3


def test_features_are_float16_unless_asked_for_in_float32_and_both_may_lie_in_one_run(tmp_path):
    run = run_with_rollouts(tmp_path, grad={"feature_dtype": "float32"})
    first = run.gradients_file(run.shards()[0])
    grad(run)
    whole, content = stored(run), first.read_bytes()
    for shard in run.shards()[1:]:
        run.gradients_file(shard).unlink()
    settings = run.config.grad.model_copy(update={"feature_dtype": "float16"})
    again = RunDir(run.path, run.config.model_copy(update={"grad": settings}))
    grad(again)
    assert first.read_bytes() == content  # the precision is in no fingerprint: what is stored stays
    kinds = {read_safetensors(again.gradients_file(shard))[0]["features"].dtype for shard in again.shards()}
    assert kinds == {torch.float16, torch.float32}
    for id, (feature, norm) in stored(again).items():
        assert norm == whole[id][1]
        torch.testing.assert_close(feature.float(), whole[id][0], rtol=2**-11, atol=2**-25)
    assert select(again, 3).chosen == 3


def test_beside_the_features_are_their_sums_by_learnability_and_by_its_expectation(tmp_path):
    run = run_with_rollouts(tmp_path)
    grad(run)
    success = {row["id"]: row for row in read_parquet(run.success_file).to_pylist()}
    p = (np.arange(200_000) + 0.5) / 200_000
    for shard in run.shards():
        tensors, metadata = read_safetensors(run.gradients_file(shard))
        rows = [success[id] for id in json.loads(metadata["ids"])]
        for row, weight, expected in zip(rows, *tensors["weights"].tolist(), strict=True):
            share = row["correct"] / row["scored"]
            density = p ** (row["correct"] - 0.5) * (1 - p) ** (row["scored"] - row["correct"] - 0.5)
            assert weight == pytest.approx(share * (1 - share), rel=1e-12)
            assert expected == pytest.approx((p * (1 - p) * density).sum() / density.sum(), rel=1e-3)
        products = tensors["weights"].numpy() @ tensors["features"].numpy().astype(np.float64)
        np.testing.assert_allclose(tensors["sums"].numpy(), products, rtol=0, atol=1e-15)
