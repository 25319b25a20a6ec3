"""The two-sided projection Γ: in the hook S_out ∇W S_inᵀ = Σ_t (S_out δ_t)(S_in x_t)ᵀ, then a seeded sketch to `dim`.

Each side is a fold to `width` (fold.py); S_in is named after the layer's input, so layers reading the same input share its projection,
S_out and the sketch after the parameter. A bias is an input coordinate that is always 1, with a sketch of its own. A norm's gradient
is a vector and goes into its sketch as it is.
The output head's gradient comes in chunks of completion tokens. An embedding's has the token itself as its output side and the gradient
of its output as its input side; if head and embedding share a weight, both have its name, so the same matrices project both parts.
Letters: B rows, T positions, I and O a layer's input and output width, P and Q the projected ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.gradients.capture.sites import Embedding, Norm, Site, Sites
from learnalign.gradients.projections.fold import Folder, Sketch
from learnalign.gradients.projections.totals import Totals


class Kronecker:
    """A sink that adds every site's sketched gradient to `features`; call `begin` before each batch."""

    def __init__(self, sites: Sites, *, dim: int, width: int, seed: int) -> None:
        self.dim = dim
        self._inputs: dict[str, Folder] = {}
        self._outputs: dict[str, Folder] = {}
        self._sketches: dict[str, Sketch] = {}
        self._shared: tuple[str, Tensor, Tensor] | None = None
        for site in sites:
            device, dtype = site.weight.device, site.weight.dtype
            if not isinstance(site, Norm):
                outputs, inputs = site.sizes
                if site.input_name not in self._inputs:
                    self._inputs[site.input_name] = Folder(inputs, width, seed, site.input_name, device, dtype)
                self._outputs[site.name] = Folder(outputs, width, seed, f"{site.name}.weight", device, dtype)
            wide = torch.promote_types(dtype, torch.float32)
            for name, shape in self._projected(site).items():
                self._sketches[name] = Sketch(*shape, dim, seed, name, device, wide)

    def _projected(self, site: Site) -> dict[str, tuple[int, int]]:
        """Rows and columns of every parameter's gradient as it comes to its sketch."""
        if isinstance(site, Norm):
            return {name: (torch.Size(shape).numel(), 1) for name, shape in site.shapes().items()}
        rows, columns = self._outputs[site.name].width, self._inputs[site.input_name].width
        return {name: (rows, columns if name.endswith(".weight") else 1) for name in site.shapes()}

    def begin(self, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        """Start a batch of `rows` rows with features of zero."""
        self._totals = Totals(rows, self.dim, device, dtype)
        self._shared = None

    @property
    def features(self) -> Float[Tensor, "B dim"]:
        """The batch's features, on the device given to `begin`."""
        return self._totals.gathered()

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T P"]:
        """S_in x, computed once for all layers that read the same tensor."""
        if self._shared and self._shared[0] == site.input_name and self._shared[1].data_ptr() == x.data_ptr():
            return self._shared[2]
        folded = self._inputs[site.input_name](x.reshape(-1, x.shape[-1])).view(*x.shape[:2], -1)
        self._shared = (site.input_name, x, folded)
        return folded

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T P"], delta: Float[Tensor, "B T O"]) -> None:
        """Add Σ_t (S_out δ_t)(S_in x_t)ᵀ, sketched."""
        folded = self._outputs[site.name](delta.reshape(-1, delta.shape[-1])).view(*delta.shape[:2], -1)
        if folded.dtype == torch.float16:  # its range ends at 65,504
            folded, saved = folded.float(), saved.float()
        product = torch.bmm(folded.transpose(1, 2), saved)
        self._add(f"{site.name}.weight", product.flatten(1))
        if site.has_bias:
            self._add(f"{site.name}.bias", folded.sum(1, dtype=self._totals.dtype))

    def on_vector(self, name: str, gradient: Float[Tensor, "B P"]) -> None:
        """Add a norm's gradient, sketched."""
        self._add(name, gradient)

    def on_lookup(self, site: Embedding, indices: Int[Tensor, "B T"], delta: Float[Tensor, "B T D"]) -> None:
        """Add Σ_t (S_out e_t)(S_in δ_t)ᵀ, sketched, with e_t the unit vector of token t."""
        inputs = self._inputs[site.input_name](delta.reshape(-1, delta.shape[-1])).to(self._totals.dtype)
        outputs = self._outputs[site.name].rows(indices.flatten()).to(self._totals.dtype)
        grid = (*indices.shape, -1)
        product = torch.bmm(outputs.view(grid).transpose(1, 2), inputs.view(grid))
        self._add(f"{site.name}.weight", product.flatten(1))

    def on_tokens(
        self,
        site: Site,
        x: Float[Tensor, "N I"],
        delta: Float[Tensor, "N O"],
        parts: Sequence[tuple[int, slice]],
    ) -> None:
        """Add the head's gradient of these tokens, row by row."""
        inputs = self._inputs[site.input_name](x).to(self._totals.dtype)
        outputs = self._outputs[site.name](delta.to(x.dtype)).to(self._totals.dtype)
        for row, part in parts:
            product = outputs[part].T @ inputs[part]
            self._add(f"{site.name}.weight", product.view(1, -1), slice(row, row + 1))
            if site.has_bias:
                self._add(f"{site.name}.bias", outputs[part].sum(0, keepdim=True), slice(row, row + 1))

    def _add(self, name: str, gradient: Tensor, rows: slice = slice(None)) -> None:
        self._sketches[name].add(gradient.to(self._totals.dtype), self._totals.on(gradient.device)[rows])


PROJECTION = Kronecker
