"""Folds, sketches and both projections: unbiased against unprojected inner products, and the same map everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout
from learnalign.gradients.projections.dense import sign_rows
from learnalign.gradients.projections.fold import Folder, Sketch, random_integers, random_signs
from learnalign.randomness import key_of
from tests.gradients.tiny import block_parameters, brute_force, every_parameter, random_samples, tiny_model

CPU = torch.device("cpu")


def dense(size: int, width: int, seed: int, name: str = "x") -> torch.Tensor:
    return Folder(size, width, seed, name, CPU, torch.float64).matrix()


def test_names_and_seeds_give_unrelated_signs():
    streams = [random_signs(key_of(seed, name), 4096) for seed in (0, 1) for name in ("a", "b", "ab")]
    cosines = torch.corrcoef(torch.stack(streams)) - torch.eye(6)
    assert cosines.abs().max() < 0.08  # five standard deviations


def test_integers_are_even():
    counts = torch.bincount(random_integers(5, 60_000, 6), minlength=6)
    assert (counts - 10_000).abs().max() < 500


def test_rows_of_signs_are_the_same_alone():
    rows = sign_rows(7, 0, 20, 100)
    assert torch.equal(sign_rows(7, 5, 4, 100), rows[5:9])
    assert set(rows.unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(("size", "width"), [(100, 16), (96, 32), (33, 32), (32, 32), (5, 32)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_folding_is_the_product_with_a_matrix(size, width, dtype):
    x = torch.randn(300, size, dtype=torch.float64).to(dtype)
    folded = Folder(size, width, 3, "x", CPU, dtype)(x)
    torch.testing.assert_close(folded, (x.double() @ dense(size, width, 3)).to(dtype), rtol=1e-2, atol=1e-2)
    if dtype.itemsize > 2:
        torch.testing.assert_close(folded, (x.double() @ dense(size, width, 3)).to(dtype))


def test_every_coordinate_lands_in_one_bucket_with_its_own_sign():
    matrix = dense(100, 16, 0)
    assert torch.equal(matrix.abs(), torch.eye(16).double().repeat(7, 1)[:100])
    assert 30 < int((matrix < 0).sum()) < 70
    assert torch.equal(dense(20, 32, 0), torch.eye(20).double())


@pytest.mark.parametrize(
    ("rows", "columns", "buckets"), [(4, 5, 64), (8, 8, 63), (15, 10, 63), (3, 21, 64), (40, 1, 64)]
)
def test_a_sketch_adds_every_entry_to_one_bucket_and_those_of_a_column_to_different_ones(rows, columns, buckets):
    values, features = torch.randn(3, rows * columns), torch.ones(3, 64)
    sketch = Sketch(rows, columns, 64, 1, "w", CPU, torch.float32)
    sketch.add(values, features)
    expected = torch.ones(3, 64)
    places = torch.tensor([(i + sketch.offset) % buckets for i in range(rows * columns)])
    for i, place in enumerate(places.tolist()):
        expected[:, place] += sketch.signs[i] * values[:, i]
    torch.testing.assert_close(features, expected)
    assert all(len(set(column.tolist())) == rows for column in places.view(rows, columns).T)


def test_a_fold_is_unbiased_with_the_variance_of_a_count_sketch():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 96, dtype=torch.float64, generator=generator)
    y = x + y
    matrices = [dense(96, 16, seed) for seed in range(4000)]
    products = [float((x @ matrix) @ (y @ matrix)) for matrix in matrices]
    bound = (x @ x * (y @ y) + (x @ y) ** 2) / 16
    assert np.mean(products) == pytest.approx(float(x @ y), abs=4 * float(bound / 4000) ** 0.5)
    assert np.var(products) <= 1.2 * float(bound)


@pytest.mark.slow
@pytest.mark.parametrize(("projection", "seeds"), [("kronecker", 100), ("dense", 40)])
def test_projected_inner_products_average_to_the_unprojected_ones(projection, seeds):
    policy = tiny_model("qwen2", num_hidden_layers=1)
    samples = random_samples(4)
    full = brute_force(policy, block_parameters(policy), samples)
    exact, grams = full @ full.T, []
    for seed in range(seeds):
        sizes = {"dim": 128, "width": 16, "modules": "linear"}
        settings = GradientSettings(seed=seed, beta=0.0, projection=projection, **sizes)
        features = GradientEngine(policy, settings).features(samples)
        grams.append(features @ features.T)
    values = torch.stack(grams)
    error = values.std(0) / seeds**0.5
    assert ((values.mean(0) - exact).abs() <= 4 * error).all()
    assert (error < 0.1 * exact.diag().max()).all()


def test_layers_that_read_the_same_input_share_its_projection(monkeypatch):
    engine = GradientEngine(tiny_model(), GradientSettings(beta=0.0, width=16, dim=64, modules="linear"))
    names = {site.name.rpartition(".")[2]: site.input_name for site in engine.sites.linear if ".0." in site.name}
    assert names["q_proj"] == names["k_proj"] == names["v_proj"]
    assert names["gate_proj"] == names["up_proj"]
    assert len(set(names.values())) == 4
    folds = []
    call = Folder.__call__
    monkeypatch.setattr(Folder, "__call__", lambda self, x: folds.append(self) or call(self, x))
    engine.features(random_samples(1))
    assert len(folds) == 2 * (4 + 7)  # a layer's inputs and outputs, in each of two blocks


def related_samples(count: int) -> list[Sample]:
    """Variations of four samples, so that cosines between gradients spread over a wide range."""
    samples = []
    for i, other in enumerate(random_samples(count, seed=1)):
        first = random_samples(4)[i % 4]
        kept = first.rollouts[0].token_ids[: 2 + 2 * (i // 4)]
        tokens = [*kept, *other.rollouts[0].token_ids[:6]]
        samples.append(Sample(other.id, first.prompt_ids, [UsedRollout(tokens, other.rollouts[0].advantage)]))
    return samples


def test_a_projection_that_compresses_every_side_keeps_cosines():
    policy = tiny_model(hidden_size=96, intermediate_size=160, num_attention_heads=4, head_dim=24)
    samples = related_samples(16)
    engine = GradientEngine(policy, GradientSettings(beta=0.0, width=32, dim=8192))
    full = brute_force(policy, every_parameter(policy), samples)
    pairs = torch.triu_indices(16, 16, 1)
    projected, exact = (
        (rows @ rows.T)[tuple(pairs)] for rows in map(torch.nn.functional.normalize, (engine.features(samples), full))
    )
    assert torch.corrcoef(torch.stack([projected, exact]))[0, 1] > 0.95


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: the same signs on CPU and GPU")
def test_rows_of_signs_are_the_same_on_a_gpu():
    assert torch.equal(sign_rows(7, 3, 50, 300), sign_rows(7, 3, 50, 300, "cuda").cpu())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: the same projection on CPU and GPU")
@pytest.mark.parametrize("projection", ["kronecker", "dense"])
def test_features_are_the_same_on_a_gpu(projection):
    samples = random_samples(8)
    settings = GradientSettings(beta=0.0, width=16, dim=512, projection=projection)
    cpu = GradientEngine(tiny_model(), settings).features(samples)
    gpu = GradientEngine(tiny_model().to("cuda"), settings).features(samples).cpu()
    torch.testing.assert_close(gpu, cpu, rtol=1e-8, atol=1e-8 * float(cpu.abs().max()))
