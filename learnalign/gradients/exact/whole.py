"""Inner products of whole gradients: as many parameters at a time as fit in memory for all samples.

Letters: K samples, B rows, T positions, N completion tokens, I and O a layer's input and output width, D an embedding's, P parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.gradients.capture.batching import Row, collate
from learnalign.gradients.capture.sites import Embedding, Site
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.grpo import Sample
from learnalign.policy.memory import free_memory

SHARE = 0.3  # of the free memory that whole gradients may take

Part = dict[str, tuple[int, int]]  # parameter name → first and last (excluded) row of its gradient


def exact_grams(engine: GradientEngine, samples: Sequence[Sample]) -> dict[str, Float[Tensor, "K K"]]:
    """Inner products of the samples' gradients of every parameter, summed in float64."""
    shapes = engine.sites.shapes()
    grams = {
        name: torch.zeros(len(samples), len(samples), dtype=torch.float64, device=engine.device) for name in shapes
    }
    room = int(SHARE * free_memory(engine.device) / (engine.dtype.itemsize * len(samples)))
    for part in _parts(shapes, room):
        whole = WholeGradients(shapes, part, len(samples), engine)

        def work(groups: Sequence[Sequence[Row]], whole: WholeGradients = whole) -> None:
            batch = collate(groups, engine.device, engine.dtype)
            whole.begin([row.sample for group in groups for row in group])
            engine.backward(batch, whole, whole.sites)

        engine.over_batches(engine.rows(samples), work)
        for name, gradient in whole.gradients.items():
            rows = gradient.flatten(1)
            grams[name] += (rows @ rows.T).double()
    return grams


def _parts(shapes: Mapping[str, tuple[int, ...]], room: int) -> Iterator[Part]:
    """All parameters in parts of at most `room` entries; large ones are cut between rows, and a part has at least one row."""
    part: Part = {}
    left = room
    for name, (rows, *columns) in shapes.items():
        width, start = torch.Size(columns).numel(), 0
        while start < rows:
            if part and left < width:
                yield part
                part, left = {}, room
            stop = min(rows, start + max(1, left // width))
            part[name] = (start, stop)
            left -= (stop - start) * width
            start = stop
    yield part


class WholeGradients:
    """A sink that forms every sample's gradient of the rows of parameters that `part` names."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], part: Part, count: int, engine: GradientEngine) -> None:
        self.sites = engine.sites.only(part)
        self.samples: list[int] = []
        self._part = part
        self.gradients = {
            name: torch.zeros(count, stop - start, *shapes[name][1:], device=engine.device, dtype=engine.dtype)
            for name, (start, stop) in part.items()
        }

    def begin(self, samples: list[int]) -> None:
        """Start a batch with all rows of `samples`: their gradients become zero again, in case an earlier try failed."""
        self.samples = samples
        for gradients in self.gradients.values():
            gradients[sorted(set(samples))] = 0

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Saves the input unchanged."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Add every row's gradient to its sample's."""
        for row in range(len(delta)):
            self._add_products(site, row, saved[row], delta[row])

    def on_tokens(
        self,
        site: Site,
        x: Float[Tensor, "N I"],
        delta: Float[Tensor, "N O"],
        parts: Sequence[tuple[int, slice]],
    ) -> None:
        """Add these tokens' gradient of the head to their samples'."""
        for row, part in parts:
            self._add_products(site, row, x[part], delta[part])

    def _add_products(self, site: Site, row: int, x: Float[Tensor, "T I"], delta: Float[Tensor, "T O"]) -> None:
        sample = self.samples[row]
        for kind in ("weight", "bias"):
            name = f"{site.name}.{kind}"
            if name in self._part:
                gradients, (start, stop) = self.gradients[name], self._part[name]
                own = delta[:, start:stop].to(gradients.dtype)
                gradients[sample] += own.T @ x.to(gradients.dtype) if kind == "weight" else own.sum(0)

    def on_vector(self, name: str, gradient: Float[Tensor, "B P"]) -> None:
        """Add every row's gradient of a norm's parameter to its sample's."""
        if name in self._part:
            gradients, (start, stop) = self.gradients[name], self._part[name]
            for row, sample in enumerate(self.samples):
                whole = gradient[row].view(-1, *gradients.shape[2:])
                gradients[sample] += whole[start:stop].to(gradients.dtype)

    def on_lookup(self, site: Embedding, indices: Int[Tensor, "B T"], delta: Float[Tensor, "B T D"]) -> None:
        """Add every row's gradient of an embedding to its sample's."""
        gradients, (start, stop) = self.gradients[f"{site.name}.weight"], self._part[f"{site.name}.weight"]
        for row, sample in enumerate(self.samples):
            inside = (indices[row] >= start) & (indices[row] < stop)
            gradients[sample].index_add_(0, indices[row][inside] - start, delta[row][inside].to(gradients.dtype))
