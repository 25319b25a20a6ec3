"""Quality of features: Spearman's correlation of alignment with the exact one of all parameters.

By hook width, and by the parameters that take part; and what leaving parameters out costs without any projection.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from learnalign.gradients import Sample
from learnalign.gradients.capture.batching import Row, collate
from learnalign.gradients.capture.choice import find_sites
from learnalign.gradients.capture.sites import Embedding, Site
from learnalign.gradients.exact.alignment import accumulate, inner_products, zero_direction
from learnalign.gradients.projections.fold import Sketch
from learnalign.gradients.projections.kronecker import Kronecker
from tests.benchmarks.grad_ways import DIM, make_engine

WIDTHS = (64, 96, 128, 160, 192, 256)
MODULES = ("linear", "linear,head")  # against the default, all
SEEDS = (0, 1, 2)


class WholeSketch:
    """Every row's whole gradient sketched to `dim`: what no projection in a hook can beat at this `dim`."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sketches: dict[str, Sketch] = {}

    def begin(self, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        self.features = torch.zeros(rows, DIM, device=device, dtype=dtype)

    def on_input(self, site: Site, x: Tensor) -> Tensor:
        return x

    def on_gradient(self, site: Site, saved: Tensor, delta: Tensor) -> None:
        for row in range(len(delta)):
            self._add(f"{site.name}.weight", delta[row].T @ saved[row], row)

    def on_vector(self, name: str, gradient: Tensor) -> None:
        for row, values in enumerate(gradient):
            self._add(name, values[:, None], row)

    def on_lookup(self, site: Embedding, indices: Tensor, delta: Tensor) -> None:
        for row in range(len(delta)):
            whole = delta.new_zeros(site.sizes).index_add_(0, indices[row], delta[row])
            self._add(f"{site.name}.weight", whole, row)

    def on_tokens(self, site: Site, x: Tensor, delta: Tensor, parts: Sequence[tuple[int, slice]]) -> None:
        for row, part in parts:
            self._add(f"{site.name}.weight", delta[part].T @ x[part], row)

    def _add(self, name: str, gradient: Tensor, row: int) -> None:
        if name not in self.sketches:
            rows, columns = gradient.shape
            self.sketches[name] = Sketch(rows, columns, DIM, self.seed, name, gradient.device, gradient.dtype)
        self.sketches[name].add(gradient.reshape(1, -1), self.features[row : row + 1])


class Several:
    """Hands one pass to several sinks, each with the parameters that it takes; None: all."""

    def __init__(self, sinks: Sequence[tuple[Any, Container[str] | None]]) -> None:
        self.sinks = sinks

    def _takers(self, name: str) -> list[Any]:
        return [sink for sink, names in self.sinks if names is None or name in names]

    def on_input(self, site: Site, x: Tensor) -> list[Any]:
        return [sink.on_input(site, x) for sink in self._takers(f"{site.name}.weight")]

    def on_gradient(self, site: Site, saved: list[Any], delta: Tensor) -> None:
        for sink, one in zip(self._takers(f"{site.name}.weight"), saved, strict=True):
            sink.on_gradient(site, one, delta)

    def on_vector(self, name: str, gradient: Tensor) -> None:
        for sink in self._takers(name):
            sink.on_vector(name, gradient)

    def on_lookup(self, site: Embedding, indices: Tensor, delta: Tensor) -> None:
        for sink in self._takers(f"{site.name}.weight"):
            sink.on_lookup(site, indices, delta)

    def on_tokens(self, site: Site, x: Tensor, delta: Tensor, parts: Sequence[tuple[int, slice]]) -> None:
        for sink in self._takers(f"{site.name}.weight"):
            sink.on_tokens(site, x, delta, parts)


def quality_curve(model: nn.Module, samples: Sequence[Sample], batch_tokens: int) -> list[dict[str, Any]]:
    """A row per way: mean and lowest Spearman's correlation over seeds. One pass for all, two for each exact one."""
    engine = make_engine(model, batch_tokens)
    sinks: dict[tuple[str, int], tuple[Any, Container[str] | None]] = {}
    for seed in SEEDS:
        for width in WIDTHS:
            sinks[f"all, width {width}", seed] = Kronecker(engine.sites, dim=DIM, width=width, seed=seed), None
        for modules in MODULES:
            sites = find_sites(model, modules)
            sink = Kronecker(sites, dim=DIM, width=engine.settings.width, seed=seed)
            sinks[f"{modules}, width {engine.settings.width}", seed] = sink, sites.shapes()
    sinks["all, a sketch of whole gradients", 0] = WholeSketch(0), None
    features = {key: torch.zeros(len(samples), DIM, dtype=engine.dtype) for key in sinks}

    def work(groups: Sequence[Sequence[Row]]) -> None:
        batch = collate(groups, engine.device, engine.dtype)
        for sink, _ in sinks.values():
            sink.begin(len(batch.token_ids), engine.device, engine.dtype)
        engine.backward(batch, Several(list(sinks.values())))
        for key, (sink, _) in sinks.items():
            features[key].index_add_(0, batch.samples, sink.features)

    engine.over_batches(engine.rows(samples), work)
    exact = exact_alignment(model, samples, batch_tokens, "all")
    alignments: dict[str, list[np.ndarray]] = {}
    for (name, _), rows in features.items():
        unit = torch.nn.functional.normalize(rows.double())
        alignments.setdefault(name, []).append((unit @ unit.mean(0)).numpy())
    for modules in MODULES:
        alignments[f"{modules}, exact"] = [exact_alignment(model, samples, batch_tokens, modules)]
    table = []
    for name, tried in alignments.items():
        values = [float(spearmanr(one, exact).statistic) for one in tried]
        mean, lowest = round(float(np.mean(values)), 4), round(min(values), 4)
        table.append({"way": name, "spearman_mean": mean, "spearman_min": lowest, "seeds": len(values)})
    return table


def exact_alignment(model: nn.Module, samples: Sequence[Sample], batch_tokens: int, modules: str) -> np.ndarray:
    """Mean over j of cos(g_i, g_j) by the engine's exact passes."""
    engine = make_engine(model, batch_tokens // 2, projection="exact", modules=modules)
    direction = zero_direction(engine)
    norms = accumulate(engine, samples, [1 / len(samples)] * len(samples), direction)
    return (inner_products(engine, samples, direction) / norms).numpy()
