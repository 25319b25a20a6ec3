"""The layers whose gradients are taken, and the taps that pass what these are made of to a sink, prompt by prompt.

Weights stay frozen: the backward pass computes activation gradients only (4N FLOPs a token instead of 6N). Parameter gradients come
from what a layer reads and from its output gradient δ: a linear layer's from its input x, ∇W = Σ_t δ_t x_tᵀ and ∇b = Σ_t δ_t; a norm's
from its normalised input, Σ_t δ_t ∘ x̂_t; an embedding's by adding δ_t to the row of token t.
Letters: B rows of a batch, T positions, I and O a layer's input and output width, D the width of an embedding, P parameters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from learnalign.errors import RunError

Take = Callable[[Tensor], None]  # gets the gradient of a layer's output
Kind = TypeVar("Kind", bound="Site")


@dataclass(frozen=True)
class Site:
    """A linear layer whose gradient is taken. `input_name` is shared by all layers that read the same tensor."""

    name: str
    module: nn.Module
    input_name: str

    @property
    def weight(self) -> Tensor:
        return self.module.weight  # type: ignore[return-value]

    @property
    def has_bias(self) -> bool:
        return getattr(self.module, "bias", None) is not None

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows and columns of the gradient: output and input width; of an embedding, vocabulary and width."""
        rows, columns = self.weight.shape
        return (columns, rows) if isinstance(self.module, Conv1D) else (rows, columns)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The gradient's shape of every parameter, by its name."""
        return {f"{self.name}.weight": self.sizes} | ({f"{self.name}.bias": self.sizes[:1]} if self.has_bias else {})


@dataclass(frozen=True)
class Embedding(Site):
    """A table whose rows, times `scale`, are looked up by tokens or positions. A head's own weight has the head's name."""

    scale: float = 1.0


@dataclass(frozen=True)
class Norm(Site):
    """A layer y = (w − c) ∘ x̂ + b, affine in its weight entry by entry. `unit` is a copy of it that returns x̂."""

    unit: nn.Module

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter, by its name."""
        return {f"{self.name}.{kind}": tuple(p.shape) for kind, p in self.module.named_parameters(recurse=False)}


@dataclass(frozen=True)
class Sites:
    """All layers whose gradients are taken. `head` is the output head, whose gradient comes token by token."""

    linear: Sequence[Site] = ()
    norms: Sequence[Norm] = ()
    embeddings: Sequence[Embedding] = ()
    head: Site | None = None

    def __iter__(self) -> Iterator[Site]:
        yield from (*self.linear, *self.norms, *self.embeddings, *([self.head] if self.head else []))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The gradient's shape of every parameter, by its name; a tied weight is one parameter."""
        return {name: shape for site in self for name, shape in site.shapes().items()}

    def only(self, names: Container[str]) -> Sites:
        """The sites of these parameters."""

        def chosen(sites: Sequence[Kind]) -> list[Kind]:
            return [site for site in sites if any(name in names for name in site.shapes())]

        head = chosen([self.head] if self.head else [])
        return Sites(chosen(self.linear), chosen(self.norms), chosen(self.embeddings), head[0] if head else None)


@runtime_checkable
class TokenSink(Protocol):
    """Uses the output head's gradient."""

    def on_tokens(
        self,
        site: Site,
        x: Float[Tensor, "N I"],
        delta: Float[Tensor, "N O"],
        parts: Sequence[tuple[int, slice]],
    ) -> None:
        """Called for every chunk of the head's completion tokens; `parts` names the row that each slice of them belongs to."""


@runtime_checkable
class Sink(TokenSink, Protocol):
    """Uses what gradients are made of. Rows of a batch stay apart.

    Implemented by Kronecker and Dense (features), Keeper and InnerProducts (exact alignment) and WholeGradients (comparison).
    """

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Any:
        """Called in the forward pass of a linear layer; `on_gradient` gets the result as `saved`."""

    def on_gradient(self, site: Site, saved: Any, delta: Float[Tensor, "B T O"]) -> None:
        """Called in the backward pass, once for every call of a linear layer."""

    def on_vector(self, name: str, gradient: Float[Tensor, "B P"]) -> None:
        """Called with the gradient of a norm's parameter, once for every call of the norm."""

    def on_lookup(self, site: Embedding, indices: Int[Tensor, "B T"], delta: Float[Tensor, "B T D"]) -> None:
        """Called in the backward pass, once for every call of an embedding: row `indices` of the gradient gains `delta`."""


@contextlib.contextmanager
def tapped(sites: Sites, sink: Sink, rows: int) -> Iterator[None]:
    """Within the block, forward passes of `rows` rows feed `sink`, and so do their backward passes later.

    The first tapped layers become the leaves of the graph: nothing below them gets a gradient. The head is not tapped.
    """
    taps: list[tuple[Sequence[Site], Callable[..., Take]]] = [
        (sites.linear, _linear),
        (sites.norms, _norm),
        (sites.embeddings, _lookup),
    ]
    hooks = [(site.module, _hook(site, tap, sink, rows)) for kind, tap in taps for site in kind]
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(site: Any, tap: Callable[..., Take], sink: Sink, rows: int):  # type: ignore[no-untyped-def]
    def forward_hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not torch.is_grad_enabled():
            return None
        with torch.no_grad():
            take = tap(site, on_device(args, output.device), sink, rows)
        shared = len(output) == 1 < rows  # positions are looked up once for all rows
        if shared:
            output = output.expand(rows, *output.shape[1:])
        is_leaf = not output.requires_grad
        if is_leaf:
            output.requires_grad_()
            output.register_post_accumulate_grad_hook(_drop_gradient)

        def backward_hook(delta: Tensor) -> None:
            with torch.no_grad():
                take(delta)

        output.register_hook(backward_hook)
        if is_leaf:  # a model may change its output in place, but not a leaf
            return output.clone()
        return output if shared else None

    return forward_hook


def on_device(args: tuple[Any, ...], device: torch.device) -> tuple[Any, ...]:
    """The arguments of a layer where it computes: of a model on several devices, hooks see them before they are moved."""
    return tuple(each.to(device) if isinstance(each, Tensor) else each for each in args)


def _linear(site: Site, args: tuple[Tensor, ...], sink: Sink, rows: int) -> Take:
    if args[0].ndim != 3 or len(args[0]) != rows:
        raise _rows_are_lost(site, args[0])
    saved = sink.on_input(site, args[0].detach())
    return lambda delta: sink.on_gradient(site, saved, delta)


def _norm(site: Norm, args: tuple[Tensor, ...], sink: Sink, rows: int) -> Take:
    if args[0].ndim < 3 or len(args[0]) != rows:
        raise _rows_are_lost(site, args[0])
    normalised, (names, width) = site.unit(*args), (site.shapes(), site.weight.ndim)

    def take(delta: Tensor) -> None:
        gradients = {"weight": delta * normalised, "bias": delta}
        for name in names:
            each = gradients[name.rpartition(".")[2]].flatten(1, delta.ndim - 1 - width)
            sink.on_vector(name, each.sum(1, dtype=torch.promote_types(delta.dtype, torch.float32)).flatten(1))

    return take


def _lookup(site: Embedding, args: tuple[Tensor, ...], sink: Sink, rows: int) -> Take:
    indices = args[0].expand(rows, -1)
    ignored: Any = site.module.padding_idx  # a row that torch never gives a gradient

    def take(delta: Tensor) -> None:
        if ignored is not None:
            delta = delta.masked_fill(indices.eq(ignored).unsqueeze(-1), 0)
        sink.on_lookup(site, indices, delta * site.scale if site.scale != 1 else delta)

    return take


def _rows_are_lost(site: Site, x: Tensor) -> RunError:
    return RunError(
        f"{site.name} reads a tensor of shape {tuple(x.shape)}, whose rows do not belong to one prompt each (a routed expert?); "
        "leave it out with a name pattern, for example --set grad.modules='*self_attn*'"
    )


def _drop_gradient(leaf: Tensor) -> None:
    leaf.grad = None
