"""The layers whose gradients are taken, and the taps that pass their inputs and output gradients to a sink, sample by sample.

Weights stay frozen: the backward pass computes activation gradients only (4N FLOPs a token instead of 6N). Only a sink forms a linear
layer's gradient, from its input x and output gradient δ: ∇W = Σ_t δ_t x_tᵀ, ∇b = Σ_t δ_t.
Letters: B rows of a batch, T positions, I and O a layer's input and output width.
"""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from learnalign.errors import InputError, RunError
from learnalign.policy.parts import adapter_layers, blocks_of, embedding_of, head_of, is_adapted, last_hidden


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
        return self.module.bias is not None

    @property
    def sizes(self) -> tuple[int, int]:
        """Output and input width."""
        rows, columns = self.weight.shape
        return (columns, rows) if isinstance(self.module, Conv1D) else (rows, columns)


@runtime_checkable
class Sink(Protocol):
    """Uses a site's inputs and output gradients.

    Implemented by Kronecker and Dense (features), Keeper (keeps both), InnerProducts (with U) and _WholeGradients (for comparison).
    """

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Any:
        """Called in the forward pass; `on_gradient` gets the result as `saved`."""

    def on_gradient(self, site: Site, saved: Any, delta: Float[Tensor, "B T O"]) -> None:
        """Called in the backward pass, once for every call of the layer."""


@contextlib.contextmanager
def tapped(sites: Sequence[Site], sink: Sink) -> Iterator[None]:
    """Within the block, forward passes of the sites' layers feed `sink`, and so do their backward passes later.

    The first tapped layers become the leaves of the graph, so nothing below them (above all, no embedding) gets a gradient.
    """
    handles = [site.module.register_forward_hook(_hook(site, sink)) for site in sites]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(site: Site, sink: Sink):  # type: ignore[no-untyped-def]
    def forward_hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not torch.is_grad_enabled():
            return None
        if args[0].ndim != 3:
            raise RunError(
                f"{site.name} reads a tensor of shape {tuple(args[0].shape)}, whose rows do not belong to one "
                "prompt each (a routed expert?); leave it out with a name pattern, for example --set grad.modules='*self_attn*'"
            )
        with torch.no_grad():
            saved = sink.on_input(site, args[0].detach())
        is_leaf = not output.requires_grad
        if is_leaf:
            output.requires_grad_()
            output.register_post_accumulate_grad_hook(_drop_gradient)

        def backward_hook(delta: Tensor) -> None:
            with torch.no_grad():
                sink.on_gradient(site, saved, delta)

        output.register_hook(backward_hook)
        return output.clone() if is_leaf else None  # a model may change its output in place, but not a leaf

    return forward_hook


@contextlib.contextmanager
def tapped_embedding(embedding: nn.Module, take: Callable[[Tensor], None]) -> Iterator[None]:
    """Within the block, the backward pass goes down to the embedding, and `take` gets the gradient of its output."""

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if torch.is_grad_enabled():
            output.requires_grad_()
            output.register_post_accumulate_grad_hook(_drop_gradient)
            output.register_hook(take)

    handle = embedding.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def find_head(model: nn.Module, modules: str) -> Site | None:
    """The output head as a site if `modules` names "head"; raises InputError if its whole gradient cannot be taken."""
    if "head" not in [part.strip() for part in modules.split(",")]:
        return None
    head, embedding = head_of(model), embedding_of(model)
    if is_adapted(model):
        raise InputError("grad.modules: an adapter has no gradient in the output head; leave `head` out")
    if head.weight is embedding.weight and type(embedding) is not nn.Embedding:
        raise InputError(
            f"grad.modules: the output head's weight is that of a {type(embedding).__name__}, whose gradient the engine "
            "does not support; leave `head` out"
        )
    name = next(name for name, module in model.named_modules() if module is head)
    return Site(name, head, f"{name}.input")


def _drop_gradient(leaf: Tensor) -> None:
    leaf.grad = None


def find_sites(model: nn.Module, modules: str = "linear") -> list[Site]:
    """The linear layers that the feature is made of, in the model's order.

    `modules` is "linear" (all linear layers of the blocks; a PEFT model's adapter layers) or patterns of names such as
    "*self_attn*" separated by commas. Raises InputError if no layer matches, or if a chosen parameter is not of a linear layer,
    naming it and the ways out.
    """
    patterns = [part.strip() for part in modules.split(",") if part.strip() not in ("", "head")]
    layers = adapter_layers(model) if is_adapted(model) else _block_layers(model)
    chosen = {name: module for name, module in layers.items() if _matches(name, patterns)}
    if not chosen:
        raise InputError(f"grad.modules {modules!r} matches no linear layer; the model has {_examples(list(layers))}")
    if not is_adapted(model):
        _refuse_others(model, chosen, patterns)
    inputs = _input_names(model, chosen)
    return [Site(name, module, inputs[name]) for name, module in chosen.items()]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(pattern == "linear" or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _block_layers(model: nn.Module) -> dict[str, nn.Module]:
    prefix, blocks = blocks_of(model)
    named = ((f"{prefix}.{name}", module) for name, module in blocks.named_modules())
    return {name: module for name, module in named if isinstance(module, nn.Linear | Conv1D)}


def _refuse_others(model: nn.Module, chosen: dict[str, nn.Module], patterns: Sequence[str]) -> None:
    """Refuse by name, not skip, chosen matrices that no linear layer owns (grouped experts, routers, convolutions)."""
    prefix, blocks = blocks_of(model)
    owned = {id(p) for module in chosen.values() for p in module.parameters(recurse=False)}
    others = [
        f"{prefix}.{name}"
        for name, parameter in blocks.named_parameters()
        if parameter.ndim >= 2 and id(parameter) not in owned and _matches(f"{prefix}.{name}", patterns)
    ]
    if others:
        raise InputError(
            f"grad.modules {','.join(patterns)!r}: {_examples(others)} are not linear layers (grouped experts?), so they "
            "have no per-prompt gradients here. Ways out: choose layers that have, for example grad.modules: "
            "'*self_attn*_proj'; or train a LoRA adapter on those layers (warmup.lora): gradients are then in adapter space"
        )


def _examples(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _input_names(model: nn.Module, chosen: dict[str, nn.Module]) -> dict[str, str]:
    """Name every layer's input after the first layer that reads the same tensor in a forward pass of two tokens."""
    seen: list[tuple[Tensor, str]] = []
    names: dict[str, str] = {}

    def note(name: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            first = next((owner for tensor, owner in seen if tensor is args[0]), name)
            seen.append((args[0], first))
            names.setdefault(name, f"{first}.input")

        return hook

    handles = [module.register_forward_pre_hook(note(name)) for name, module in chosen.items()]
    try:
        with torch.no_grad():
            last_hidden(model, torch.zeros(1, 2, dtype=torch.int64, device=head_of(model).weight.device))
    finally:
        for handle in handles:
            handle.remove()
    return {name: names.get(name, f"{name}.input") for name in chosen}
