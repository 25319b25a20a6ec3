"""The two-sided projection Γ: in the hook S_out ∇W S_inᵀ = Σ_t (S_out δ_t)(S_in x_t)ᵀ, then a seeded sketch to `dim`.

Each side is a fold to `width` (fold.py); S_in is named after the layer's input, so layers reading the same input share its projection,
S_out and the sketch after the parameter. A bias is an input coordinate that is always 1, with a sketch of its own.
The output head's gradient comes in chunks of completion tokens. If the embedding shares its weight, the same matrices project the
embedding's part: its output side is the token itself, its input side the embedding's gradient.
Letters: B rows, T positions, I and O a layer's input and output width, P and Q the projected ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.gradients.capture.sites import Site
from learnalign.gradients.projections.fold import Folder, Sketch


class Kronecker:
    """A sink that adds every site's sketched gradient to `features`; call `begin` before each batch."""

    def __init__(self, sites: Sequence[Site], *, dim: int, width: int, seed: int) -> None:
        self.dim = dim
        self._inputs: dict[str, Folder] = {}
        self._outputs: dict[str, Folder] = {}
        self._sketches: dict[str, Sketch] = {}
        self._shared: tuple[str, Tensor, Tensor] | None = None
        for site in sites:
            outputs, inputs = site.sizes
            device, dtype = site.weight.device, site.weight.dtype
            if site.input_name not in self._inputs:
                self._inputs[site.input_name] = Folder(inputs, width, seed, site.input_name, device, dtype)
            folder = Folder(outputs, width, seed, f"{site.name}.weight", device, dtype)
            self._outputs[site.name] = folder
            columns = {"weight": self._inputs[site.input_name].width, "bias": 1}
            wide = torch.promote_types(dtype, torch.float32)
            for kind in ("weight", "bias") if site.has_bias else ("weight",):
                name = f"{site.name}.{kind}"
                self._sketches[name] = Sketch(folder.width, columns[kind], dim, seed, name, device, wide)

    def begin(self, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        """Start a batch of `rows` rows with features of zero."""
        self.features: Float[Tensor, "B dim"] = torch.zeros(rows, self.dim, device=device, dtype=dtype)
        self._shared = None

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
        self._sketches[f"{site.name}.weight"].add(product.flatten(1).to(self.features.dtype), self.features)
        if site.has_bias:
            total = folded.sum(1, dtype=self.features.dtype)
            self._sketches[f"{site.name}.bias"].add(total, self.features)

    def on_tokens(
        self,
        site: Site,
        x: Float[Tensor, "N I"],
        delta: Float[Tensor, "N O"],
        parts: Sequence[tuple[int, slice]],
    ) -> None:
        """Add the gradient of tokens given as a flat list; `parts` names the row that each slice of them belongs to."""
        inputs = self._inputs[site.input_name](x).to(self.features.dtype)
        outputs = self._outputs[site.name](delta).to(self.features.dtype)
        for row, part in parts:
            feature = self.features[row : row + 1]
            product = outputs[part].T @ inputs[part]
            self._sketches[f"{site.name}.weight"].add(product.view(1, -1), feature)
            if site.has_bias:
                self._sketches[f"{site.name}.bias"].add(outputs[part].sum(0, keepdim=True), feature)

    def on_embedding(self, site: Site, token_ids: Int[Tensor, "B T"], delta: Float[Tensor, "B T I"]) -> None:
        """Add the embedding's part of a weight that the output head shares."""
        inputs = self._inputs[site.input_name](delta.reshape(-1, delta.shape[-1])).to(self.features.dtype)
        outputs = self._outputs[site.name].rows(token_ids.flatten()).to(self.features.dtype)
        grid = (*token_ids.shape, -1)
        product = torch.bmm(outputs.view(grid).transpose(1, 2), inputs.view(grid))
        self._sketches[f"{site.name}.weight"].add(product.flatten(1), self.features)


PROJECTION = Kronecker
