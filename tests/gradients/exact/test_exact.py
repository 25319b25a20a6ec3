"""Exact norms and alignments against whole gradients by plain autograd, and the stage that keeps them on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from learnalign.errors import InputError, RunError
from learnalign.gradients import grad, logprobs
from learnalign.gradients.capture.batching import collate
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.exact import keeper
from learnalign.gradients.exact import stage as exact_stage
from learnalign.gradients.exact.alignment import accumulate, inner_products, zero_direction
from learnalign.gradients.grpo import Sample, UsedRollout
from learnalign.gradients.inputs import make_engine, read_samples
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from tests.gradients.pool import run_with_rollouts
from tests.gradients.tiny import (
    brute_force,
    collected,
    every_parameter,
    long_prompts,
    most_branches,
    random_samples,
    referred,
    tiny_model,
)

# The Gram trick is cheaper for the short ones, the gradient for the long ones; the shared ones have long prompts.
SAMPLES = {
    "short": random_samples(6, rollouts=2, longest=6),
    "long": random_samples(6, rollouts=2, longest=90),
    "shared": long_prompts(6),
}


@pytest.mark.parametrize("which", SAMPLES)
@pytest.mark.parametrize(
    ("kind", "tied", "budget"),
    [
        pytest.param("qwen2", True, 60, marks=pytest.mark.slow),
        ("qwen2", True, 100_000),
        pytest.param("llama", False, 60, marks=pytest.mark.slow),
        ("llama", False, 100_000),
    ],
)
def test_norms_and_alignments_are_those_of_whole_gradients(monkeypatch, kind, tied, which, budget):
    monkeypatch.setitem(logprobs.CHUNK_ENTRIES, "cpu", 20 * 97)  # chunks of the head that cut rows
    policy = tiny_model(kind, tie_word_embeddings=tied)
    policy.lm_head.bias = torch.nn.Parameter(torch.randn(97, dtype=torch.float64), requires_grad=False)
    reference = tiny_model(kind, seed=1, tie_word_embeddings=tied)
    samples = referred(SAMPLES[which], reference)
    settings = GradientSettings(beta=0.1, projection="exact", batch_tokens=budget)
    engine = GradientEngine(policy, settings)
    assert which != "shared" or budget == 60 or most_branches(engine, samples) > 1
    full = brute_force(policy, every_parameter(policy), samples, reference, beta=0.1)
    learnability = np.linspace(0.1, 0.25, 6)
    direction = zero_direction(engine)
    norms = accumulate(engine, samples, list(learnability / 9), direction)
    alignments = inner_products(engine, samples, direction) / norms
    torch.testing.assert_close(norms, full.norm(dim=1), rtol=1e-6, atol=0)
    unit = torch.nn.functional.normalize(full)
    torch.testing.assert_close(alignments, unit @ unit.T @ torch.tensor(learnability) / 9, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("length", "grams"), [(4, True), (150, False)])
def test_the_cheaper_way_to_a_norm_is_taken(length, grams):
    engine = GradientEngine(tiny_model("llama"), GradientSettings(beta=0.0))
    site = engine.sites.linear[0]
    sample = Sample("x", [1], [UsedRollout([2] * length, 1.0)])
    blocks = keeper._Blocks(collate(engine.rows([sample]), engine.device, engine.dtype))
    x, delta = (torch.randn(1, length, size) for size in reversed(site.sizes))
    squares, gram = keeper._squared_norms(site, blocks, x, delta, None)
    torch.testing.assert_close(squares, (delta[0].T @ x[0]).square().sum()[None])
    assert (gram is not None) == grams


class Calls(TorchDispatchMode):
    """Counts what torch is asked to compute."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("rollouts", [1, 3])
@pytest.mark.parametrize("longest", [8, 60])
def test_norms_of_more_samples_take_no_more_calls(monkeypatch, longest, rollouts):
    monkeypatch.setitem(keeper.WHOLE_ENTRIES, "cpu", 1 << 30)
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, modules="linear,norms,embedding"))
    engine.sharing.possible = False
    counts = []
    for count in (4, 16):
        batch = collate(engine.rows(random_samples(count, rollouts, longest=longest)), engine.device, engine.dtype)
        kept = keeper.Keeper(batch)
        engine.backward(batch, kept)
        with Calls() as calls:
            norms = kept.squared_norms()
        assert len(norms) == count
        counts.append(calls.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "fails_at", [1, *(pytest.param(at, marks=pytest.mark.slow) for at in (2, 5, 15, 33)), 6, 16, 34]
)  # of vectors first, then of linear layers, the embedding
def test_running_out_of_memory_adds_nothing_twice(monkeypatch, fails_at):
    samples = random_samples(6, rollouts=2)
    directions, nan_to_num = [], torch.nan_to_num
    for failing in (0, fails_at):
        engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, projection="exact", batch_tokens=100_000))
        directions.append(zero_direction(engine))
        calls = []

        def limited(tensor, failing=failing, calls=calls):
            calls.append(tensor)
            if len(calls) == failing:
                raise torch.OutOfMemoryError("out of memory")
            return nan_to_num(tensor)

        monkeypatch.setattr(torch, "nan_to_num", limited)
        accumulate(engine, samples, [0.2] * 6, directions[-1])
        monkeypatch.undo()
        assert len(calls) >= fails_at
    for name, tensor in directions[0].items():
        torch.testing.assert_close(directions[1][name], tensor, rtol=1e-9, atol=1e-12)


def test_a_gradient_that_is_not_finite_leaves_the_others_alone():
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, projection="exact"))
    samples = random_samples(3)
    clean, dirty = zero_direction(engine), zero_direction(engine)
    backward = engine.backward

    def poisoned(batch, sink, sites=None):
        batch.weight[batch.positions // batch.token_ids.shape[1] == batch.samples.tolist().index(1)] = float("nan")
        return backward(batch, sink, sites)

    accumulate(engine, [samples[0], samples[2]], [0.5, 0.25], clean)
    engine.backward = poisoned
    norms = accumulate(engine, samples, [0.5, 1.0, 0.25], dirty)
    assert norms.isfinite().tolist() == [True, False, True]
    for name, tensor in clean.items():
        torch.testing.assert_close(dirty[name], tensor, rtol=1e-5, atol=1e-12)


def test_a_layer_used_twice_is_refused():
    policy = tiny_model()
    policy.model.layers[1].mlp = policy.model.layers[0].mlp
    engine = GradientEngine(policy, GradientSettings(beta=0.0, projection="exact"))
    with pytest.raises(RunError, match="used twice"):
        accumulate(engine, random_samples(1), [1.0], zero_direction(engine))


def expected_alignments(run: RunDir) -> dict[str, float]:
    """Mean over all prompts j of V_j cos(g_i, g_j), from whole gradients."""
    success, engine = load_success(run), make_engine(run)
    samples = [
        s for shard in run.shards() for s in read_samples(run.rollouts_file(shard), success, run.config.grad).samples
    ]
    gradients = torch.cat([g.flatten(1).double() for g in collected(engine, samples).values()], dim=1)
    unit = torch.nn.functional.normalize(gradients)
    learnability = torch.tensor([success[s.id].learnability for s in samples], dtype=torch.float64)
    alignment = unit @ unit.T @ learnability / run.count_prompts()
    return {sample.id: float(value) for sample, value in zip(samples, alignment, strict=True)}


def test_the_stage_writes_exact_alignments(tmp_path):
    run = run_with_rollouts(tmp_path, kind="qwen2", grad={"projection": "exact"})
    result = grad(run)
    rows = {row["id"]: row for row in read_parquet(run.exact_file).to_pylist()}
    expected = expected_alignments(run)
    assert rows.keys() == expected.keys()
    assert result.features == len(rows) == 5
    assert result.skipped == {"solved": 3, "unsolved": 2, "unscored": 2}
    for id, alignment in expected.items():
        assert rows[id]["alignment"] == pytest.approx(alignment, rel=1e-4)
    assert sorted(path.name for path in run.exact_file.parent.iterdir()) == ["exact.parquet"]
    assert grad(run) == result


class Stop(Exception):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("stop_at", [("accumulate", 2), ("inner_products", 1)])
def test_the_stage_resumes_between_and_inside_the_passes(tmp_path, monkeypatch, stop_at):
    run = run_with_rollouts(tmp_path, grad={"projection": "exact"}, executor={"shard_size": 4})
    monkeypatch.setattr(exact_stage, "SAVE_SECONDS", 0.0)
    calls = {"accumulate": 0, "inner_products": 0}

    def counted(name, function, limit):
        def call(*args):
            if calls[name] == limit:
                raise Stop
            calls[name] += 1
            return function(*args)

        return call

    with monkeypatch.context() as patch:
        name, limit = stop_at
        patch.setattr(exact_stage, name, counted(name, getattr(exact_stage, name), limit))
        with pytest.raises(Stop):
            grad(run)
    for name in calls:
        monkeypatch.setattr(exact_stage, name, counted(name, getattr(exact_stage, name), -1))
    grad(run)
    assert calls[stop_at[0]] == 3  # of three shards, none was done twice
    rows = {row["id"]: row["alignment"] for row in read_parquet(run.exact_file).to_pylist()}
    assert rows == pytest.approx(expected_alignments(run), rel=1e-4)


def test_bad_gradients_are_left_out_of_the_others_alignments(tmp_path, monkeypatch):
    run = run_with_rollouts(tmp_path, grad={"projection": "exact", "max_bad": 0.5})
    bad = []

    def poisoned(engine, samples, weights, direction, advance):
        norms = accumulate(engine, samples, weights, direction)
        if not bad and len(samples) > 1:
            bad.append(samples[0].id)
            norms[0] = float("inf")
        return norms

    monkeypatch.setattr(exact_stage, "accumulate", poisoned)
    assert list(grad(run).bad) == bad
    assert bad[0] not in read_parquet(run.exact_file)["id"].to_pylist()


def test_verify_needs_a_projection(tmp_path):
    run = run_with_rollouts(tmp_path, grad={"projection": "exact"})
    with pytest.raises(InputError, match="--verify"):
        grad(run, verify=4)
