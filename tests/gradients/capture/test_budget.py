"""What may never exist: a tensor of tokens × vocabulary, of dim × parameters, or one that grows with the number of samples."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from learnalign.gradients import logprobs
from learnalign.gradients.capture import budget as memory
from learnalign.gradients.capture.budget import Budget
from learnalign.gradients.engine import GradientEngine, GradientSettings
from tests.gradients.tiny import SHAPE, VOCABULARY, random_samples, referred, tiny_model

CPU = torch.device("cpu")
DIM = 640


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.seen |= {tuple(leaf.shape) for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)}
        return result


def shapes(samples, batch_tokens=64, **settings) -> set[tuple[int, ...]]:
    policy = tiny_model(dtype=torch.float32)
    engine = GradientEngine(policy, GradientSettings(dim=DIM, width=16, batch_tokens=batch_tokens, **settings))
    samples = referred(samples, policy)
    engine.features(samples[:1])  # makes Γ
    with Shapes() as record:
        engine.features(samples)
    return record.seen


def test_logits_exist_only_a_chunk_at_a_time(monkeypatch):
    monkeypatch.setitem(logprobs.CHUNK_ENTRIES, "cpu", 16 * VOCABULARY)
    samples = random_samples(6, longest=60)
    tokens = sum(len(sample.rollouts[0].token_ids) for sample in samples)
    rows = {
        shape[0] for shape in shapes(samples, batch_tokens=10_000) if shape[-1:] == (VOCABULARY,) and len(shape) == 2
    }
    assert tokens > 64
    assert max(rows - {SHAPE["hidden_size"]}) <= 16  # apart from the head's transposed weight


@pytest.mark.parametrize("projection", ["kronecker", pytest.param("dense", marks=pytest.mark.slow)])
def test_only_the_features_grow_with_the_number_of_samples(projection):
    samples = random_samples(24)
    largest = []
    for count in (6, 24):
        chosen = samples[:6] * (count // 6)
        made = shapes(chosen, projection=projection) - {(count, DIM)}
        largest.append(max(torch.Size(shape).numel() for shape in made))
    assert largest[1] <= 1.2 * largest[0]


@pytest.mark.slow
def test_a_dense_projection_exists_only_in_blocks(monkeypatch):
    monkeypatch.setattr("learnalign.gradients.projections.dense.BLOCK_ENTRIES", 100 * DIM)
    assert max(shape[0] for shape in shapes(random_samples(2), projection="dense") if shape[1:] == (DIM,)) <= 100


def test_a_given_budget_is_taken_and_halved_below_a_batch_that_failed():
    budget = Budget(1000, CPU, 1)
    assert budget.tokens == 1000
    budget.halve(300)
    assert budget.tokens == 150


@pytest.mark.parametrize(("batch", "left"), [(300, 150), (4096, 1000)])
def test_a_failed_batch_never_raises_the_budget(batch, left):
    budget = Budget(1000, CPU, 1)
    budget.halve(batch)
    assert budget.tokens == left


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_no_batch_waits_for_the_device(kind):
    policy = tiny_model(kind)
    engine = GradientEngine(policy, GradientSettings(beta=0.1, dim=64, width=8, batch_tokens=100))
    samples = referred(random_samples(8), policy)
    engine.features(samples[:1])

    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += "_local_scalar_dense" in str(function)
            return function(*args, **(kwargs or {}))

    with Reads() as reads:
        engine.features(samples)
    assert reads.count == 0


@pytest.mark.parametrize(("free", "tokens"), [(10**12, memory.CPU_TOKENS), (400_000, 100), (1, 1)])
def test_an_automatic_budget_fits_the_free_memory_of_a_cpu(monkeypatch, free, tokens):
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    assert Budget("auto", CPU, 1000).tokens == tokens


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: measured budget, real out of memory")
def test_a_gpu_is_measured_and_recovers_from_running_out_of_memory():
    samples = random_samples(40, longest=100)
    settings = GradientSettings(beta=0.0, dim=DIM, width=16)
    expected = GradientEngine(tiny_model(), settings).features(samples)
    engine = GradientEngine(tiny_model().to("cuda"), settings)
    torch.testing.assert_close(engine.features(samples).cpu(), expected, rtol=1e-6, atol=1e-8)
    measured = engine.budget.tokens
    torch.cuda.set_per_process_memory_fraction(0.0005)
    try:
        torch.testing.assert_close(engine.features(samples).cpu(), expected, rtol=1e-6, atol=1e-8)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (engine.budget.tokens or 0) < (measured or 0)
