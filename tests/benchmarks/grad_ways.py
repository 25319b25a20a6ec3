"""Ways to take per-sample gradients of the same samples: this engine, its floor, and what it is measured against.

Every way is a class built from a model and samples whose `run()` goes through all samples once.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from learnalign.gradients import GradientEngine, GradientSettings, Sample
from learnalign.gradients.capture.batching import Row, collate, rows_of
from learnalign.gradients.logprobs import hidden_gradient
from learnalign.gradients.projections.fold import random_integers, random_signs
from learnalign.policy.kernels import fused
from learnalign.policy.parts import last_hidden
from learnalign.randomness import key_of

DIM = 8192
LESS_INTERVAL = 16  # gradients that LESS projects at a time, which spreads the making of Γ over them


def make_engine(model: nn.Module, batch_tokens: int | str, **changes: object) -> GradientEngine:
    """The engine with its defaults, without a reference model."""
    settings = {"beta": 0.0, "dim": DIM, "batch_tokens": batch_tokens, **changes}
    return GradientEngine(model, GradientSettings(**settings))  # type: ignore[arg-type]


class Engine:
    """The default: gradients of all parameters, two-sided folds in the hooks, sketched to 8192."""

    modules = "all"

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        self.engine, self.samples = make_engine(model, batch_tokens, modules=self.modules), samples

    def run(self) -> Tensor:
        return self.engine.features(self.samples)


class EngineLinear(Engine):
    """The engine on the linear layers of the blocks alone."""

    modules = "linear"


class EngineHead(Engine):
    """The engine on the linear layers of the blocks and the output head."""

    modules = "linear,head"


class EngineCompiled(Engine):
    """The engine with `model.kernels: compile`."""

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        super().__init__(fused(copy.deepcopy(model), "compile"), samples, batch_tokens)


class Floor:
    """(c) The bare batched forward and the backward of activations alone, down to the embeddings."""

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        self.engine, self.samples, self.model = make_engine(model, batch_tokens), samples, model

    def run(self) -> None:
        self.engine.over_batches([[row] for rows in rows_of(self.samples) for row in rows], self._batch)

    def _batch(self, groups: Sequence[Sequence[Row]]) -> None:
        engine = self.engine
        batch = collate(groups, engine.device, engine.dtype)
        embedded: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            embedded.append(output.detach().requires_grad_())
            return embedded[0]

        handle = self.model.get_input_embeddings().register_forward_hook(keep)  # type: ignore[operator]
        with torch.enable_grad():
            hidden = last_hidden(self.model, batch.token_ids)
        handle.remove()
        flat = hidden.detach().flatten(0, 1)
        gradient = torch.zeros_like(flat)
        tokens = (batch.targets, batch.advantage, batch.weight, None, engine.head)
        gradient[batch.positions] = hidden_gradient(flat[batch.positions], *tokens, temperature=1.0, beta=0.0)
        torch.autograd.grad(hidden, embedded[0], gradient.view_as(hidden))


class FullGradients:
    """One sample at a time, the whole model's forward and loss, and a full backward into every parameter."""

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        self.model, self.samples = model, samples
        self.parameters = dict(model.named_parameters())

    def gradients(self, take: Callable[[str, Tensor], None]) -> Iterator[None]:
        """Hand over every sample's gradient, parameter by parameter; yields after each sample."""
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        for sample in self.samples:
            completion = sample.rollouts[0].token_ids
            ids = torch.tensor([[*sample.prompt_ids, *completion]], device=next(iter(self.parameters.values())).device)
            labels = ids.clone()
            labels[:, : len(sample.prompt_ids)] = -100
            self.model(input_ids=ids, labels=labels, use_cache=False).loss.backward()
            for name, parameter in self.parameters.items():
                take(name, parameter.grad)  # type: ignore[arg-type]
                parameter.grad = None
            yield
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)


class SparseSketch(FullGradients):
    """(a') Full gradients, each entry signed and added into a random one of 8192 buckets: a count sketch."""

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        super().__init__(model, samples, batch_tokens)
        self.hashes: dict[str, tuple[Tensor, Tensor]] = {}

    def run(self) -> None:
        for _ in self.gradients(self._sketch):
            pass

    def _sketch(self, name: str, gradient: Tensor) -> None:
        if name not in self.hashes:
            buckets = random_integers(key_of(0, name), gradient.numel(), DIM).int().to(gradient.device)
            self.hashes[name] = buckets, random_signs(key_of(1, name), gradient.numel()).to(gradient.device)
        buckets, signs = self.hashes[name]
        torch.zeros(DIM, device=gradient.device).index_add_(0, buckets, gradient.flatten() * signs)


class SparseLayers(SparseSketch):
    """(a') in its strictest form: gradients of the linear layers of the blocks alone, none of embeddings, head or norms."""

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        super().__init__(model, samples, batch_tokens)
        sites = make_engine(model, batch_tokens, modules="linear").sites.linear
        self.parameters = {f"{site.name}.{kind}": p for site in sites for kind, p in site.module.named_parameters()}


class LessGradients(FullGradients):
    """(a) without its projection: full gradients flattened into one vector, as LESS collects them."""

    def run(self) -> None:
        flat: list[Tensor] = []
        for _ in self.gradients(lambda name, gradient: flat.append(gradient.flatten())):
            torch.cat(flat)
            flat.clear()


def less_projection_seconds(model: nn.Module, dtype: torch.dtype, entries: int) -> dict[str, float]:
    """CPU seconds a sample of LESS's dense projection, extrapolated from a slice of Γ of `entries` entries.

    "product" is the matrix product alone, as if Γ cost nothing; "whole" makes Γ too, as anyone must: it has 10¹² entries.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    rows = entries // DIM
    gradients = torch.randn(LESS_INTERVAL, rows).to(dtype)
    started = time.process_time()
    signs = torch.randint(0, 2, (rows, DIM), dtype=torch.int8).to(dtype).mul_(2).sub_(1)
    made = time.process_time()
    gradients @ signs
    ended = time.process_time()
    scale = total / rows / LESS_INTERVAL
    return {"product": (ended - made) * scale, "whole": (ended - started) * scale}


class Bergson:
    """(b) bergson, its own collector at projection 16, on the same rows, layers, precision and batch size."""

    projection = 16

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        self.model, self.samples, self.batch_tokens = model, samples, batch_tokens

    def data(self) -> Any:
        """The samples as bergson takes them."""
        from datasets import Dataset

        rows = [[*s.prompt_ids, *s.rollouts[0].token_ids] for s in self.samples]
        labels = [[-100] * len(s.prompt_ids) + list(s.rollouts[0].token_ids) for s in self.samples]
        return Dataset.from_dict({"input_ids": rows, "labels": labels, "length": [len(row) for row in rows]})

    def run(self) -> None:
        from bergson.collector.collector import CollectorComputer
        from bergson.collector.in_memory_collector import InMemoryCollector
        from bergson.config.config import IndexConfig
        from bergson.data import allocate_batches
        from bergson.gradients import GradientProcessor

        embedding = self.model.get_input_embeddings()  # type: ignore[operator]
        embedding.requires_grad_(True)  # as its own build does, so that there is a graph
        data = self.data()
        batches = allocate_batches(data["length"][:], self.batch_tokens)
        with tempfile.TemporaryDirectory() as folder:
            config = IndexConfig(run_path=f"{folder}/run", token_batch_size=self.batch_tokens)
            config.partial_run_path.mkdir()
            processor = GradientProcessor(projection_dim=self.projection, projection_seed=0)
            body = self.model.base_model
            collector = InMemoryCollector(model=body, cfg=config, processor=processor, data=data)
            computer = CollectorComputer(self.model, data, collector=collector, batches=batches, cfg=config)
            computer.run_with_collector_hooks()
        embedding.requires_grad_(False)


class BergsonDefault(Bergson):
    """bergson with its own default of 2,048 tokens a batch."""

    def __init__(self, model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> None:
        super().__init__(model, samples, 2048)


class BergsonWide(Bergson):
    """bergson at the engine's own width of 160, where its projection keeps about as much."""

    projection = 160


WAYS: dict[str, type] = {
    "floor": Floor,
    "engine": Engine,
    "engine_linear": EngineLinear,
    "engine_head": EngineHead,
    "engine_compiled": EngineCompiled,
    "sparse": SparseSketch,
    "sparse_layers": SparseLayers,
    "less": LessGradients,
    "bergson": Bergson,
    "bergson_2048": BergsonDefault,
    "bergson_160": BergsonWide,
}
