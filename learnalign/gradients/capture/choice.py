"""Which layers `grad.modules` names, and which parameters have no gradient per prompt: those are refused by name, not skipped.

A probe, one forward pass of a few tokens, shows which layers read the same tensor, which norms are affine in their weight, and what
an embedding does to its rows.
"""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from learnalign.config import words_of
from learnalign.errors import InputError
from learnalign.gradients.capture.sites import Embedding, Norm, Site, Sites, on_device
from learnalign.policy.parts import adapter_layers, blocks_of, embedding_of, head_of, is_adapted, last_hidden

KEYWORDS = ("all", "linear", "norms", "embedding", "head")
ROUNDING = {2: 0.03, 4: 1e-4, 8: 1e-4}  # relative, by bytes of an entry: many norms compute in float32 at most


@dataclass
class _Probe:
    """The first call of every module in a forward pass, by name: its module, arguments and output, and the input's first reader."""

    calls: dict[str, tuple[nn.Module, tuple[Any, ...], Tensor]]
    readers: dict[str, str]


def find_sites(model: nn.Module, modules: str = "all") -> Sites:
    """The layers whose gradients make the feature, in the model's order.

    `modules` is "all" (every parameter of the model; of a PEFT model, every parameter of its adapter), or a list separated by commas:
    "linear" (linear layers of the blocks, or of the adapter), "norms", "embedding", "head", or patterns of linear layers' names such as
    "*self_attn*". A tied weight is one parameter: "embedding" and "head" both mean all of it. Raises InputError if a part matches
    nothing, or if a chosen parameter has no gradient per prompt, naming it and the ways out.
    """
    words = words_of(modules)
    if is_adapted(model):
        return _adapter_sites(model, modules)
    _refuse_unmatched(words, layers_of_blocks(model))
    probe = _probe(model)
    every = _all_sites(model, probe)
    if "all" in words:
        _refuse_uncovered(model, every, probe)
        _refuse_ties(model, every)
        return every
    patterns = ["*" if word == "linear" else word for word in words if word == "linear" or word not in KEYWORDS]
    names = set(layers_of_blocks(model))
    linear = [site for site in every.linear if site.name in names and _matches(site.name, patterns)]
    _refuse_other_matrices(model, linear, patterns, modules)
    tied = {site.name for site in every.embeddings} & {every.head.name if every.head else ""}
    head = every.head if "head" in words or (tied and "embedding" in words) else None
    embeddings = [s for s in every.embeddings if "embedding" in words or (s.name in tied and head)]
    sites = Sites(linear, every.norms if "norms" in words else [], embeddings, head)
    _refuse_odd(every, probe, words)
    _refuse_ties(model, sites)
    if not list(sites):
        raise InputError(f"grad.modules {modules!r} names nothing that this model has; give all, linear or patterns")
    return sites


def layers_of_blocks(model: nn.Module) -> list[str]:
    """The names of the linear layers of the blocks, which patterns are matched with; `model` needs no weights."""
    prefix, blocks = blocks_of(model)
    return [f"{prefix}.{name}" for name, each in blocks.named_modules() if isinstance(each, nn.Linear | Conv1D)]


def refuse_frozen(modules: str) -> None:
    """Raise InputError if `modules` names parts of the model that an adapter leaves as they are."""
    frozen = [word for word in words_of(modules) if word in ("norms", "embedding", "head")]
    if frozen:
        raise InputError(f"grad.modules {modules!r}: an adapter does not train {', '.join(frozen)}; leave it out")


def _adapter_sites(model: nn.Module, modules: str) -> Sites:
    layers, words = adapter_layers(model), words_of(modules)
    refuse_frozen(modules)
    _refuse_unmatched(words, list(layers))
    patterns = ["*" if word in ("all", "linear") else word for word in words]
    chosen = [name for name in layers if _matches(name, patterns)]
    readers = _probe(model).readers
    return Sites([Site(name, layers[name], f"{readers.get(name, name)}.input") for name in chosen])


def _all_sites(model: nn.Module, probe: _Probe) -> Sites:
    """Every layer whose gradient can be taken."""
    head, tied = head_of(model), head_of(model).weight is getattr(embedding_of(model), "weight", None)
    head_name = next(name for name, module in model.named_modules() if module is head)
    inside = set(blocks_of(model)[1].modules())
    linear: list[Site] = []
    norms: list[Norm] = []
    embeddings: list[Embedding] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            if module is not head and (name in probe.calls or module in inside):
                linear.append(Site(name, module, f"{probe.readers.get(name, name)}.input"))
        elif name in probe.calls and isinstance(module, nn.Embedding):
            own = head_name if tied and module is embedding_of(model) else name
            embeddings += _embedding(own, *probe.calls[name])
        elif name in probe.calls:
            norms += _norm(name, *probe.calls[name])
    return Sites(linear, norms, embeddings, Site(head_name, head, f"{head_name}.input"))


def _norm(name: str, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Iterator[Norm]:
    """The norm, if it is one: with a weight of some constant c and no bias it returns 0, and else (w − c) ∘ x̂ + b."""
    kinds = {kind for kind, _ in module.named_parameters()}
    if not args or kinds not in ({"weight"}, {"weight", "bias"}):
        return
    weight, bias = module.get_parameter("weight"), getattr(module, "bias", None)
    if output.shape[-weight.ndim :] != weight.shape:  # one number for many entries is no scale of each
        return
    for constant in (0.0, -1.0):
        if not _with_weight(module, constant)(*args).any():
            unit = _with_weight(module, constant + 1)
            normalised = unit(*args)
            expected = normalised * (weight - constant)
            if normalised.any() and _close(output, expected if bias is None else expected + bias):
                yield Norm(name, module, f"{name}.input", unit)
            return


def _with_weight(module: nn.Module, value: float) -> nn.Module:
    """A copy of a norm whose weight is `value` everywhere and whose bias is 0."""
    changed = copy.deepcopy(module)
    for kind, parameter in changed.named_parameters():
        parameter.data.fill_(value if kind == "weight" else 0.0)
    return changed.requires_grad_(False)


def _embedding(name: str, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Iterator[Embedding]:
    """The embedding, if its output is its rows times a number."""
    if not args or args[0].is_floating_point() or module.max_norm is not None:
        return
    rows = module.get_parameter("weight").detach()[args[0]].double()
    scale = float((output * rows).sum() / rows.square().sum().clamp_min(1e-30))
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    if rows.any() and _close(output, rows * scale):
        yield Embedding(name, module, f"{name}.input", scale)


def _close(output: Tensor, expected: Tensor) -> bool:
    error = (output.double() - expected.double()).norm()
    return bool(error <= ROUNDING[output.dtype.itemsize] * expected.double().norm())


def _probe(model: nn.Module) -> _Probe:
    seen: list[tuple[Tensor, str]] = []
    probe = _Probe({}, {})

    def note(name: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not args or not isinstance(args[0], Tensor) or not isinstance(output, Tensor):
                args, output = (), torch.empty(0)
            if args and isinstance(module, nn.Linear | Conv1D):
                first = next((owner for tensor, owner in seen if tensor is args[0]), name)
                seen.append((args[0], first))
                probe.readers.setdefault(name, first)
            probe.calls.setdefault(name, (module, on_device(args, output.device), output.detach().clone()))

        return hook

    owners = [
        (name, module)
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    handles = [module.register_forward_hook(note(name)) for name, module in owners]
    device, vocabulary = head_of(model).weight.device, head_of(model).weight.shape[0]
    try:
        with torch.no_grad():
            last_hidden(model, (torch.arange(2, 10, device=device) % vocabulary)[None])
    finally:
        for handle in handles:
            handle.remove()
    return probe


def _refuse_uncovered(model: nn.Module, sites: Sites, probe: _Probe) -> None:
    """Refuse `all` if a parameter in the blocks, or of a layer that text goes through, is none of the sites'."""
    owned = {id(p) for site in sites for p in site.module.parameters(recurse=False)}
    used = {id(p) for p in blocks_of(model)[1].parameters()}
    used |= {id(p) for module, _, _ in probe.calls.values() for p in module.parameters(recurse=False)}
    others = [name for name, p in model.named_parameters() if id(p) in used and id(p) not in owned]
    _refuse(others)


def _refuse_odd(every: Sites, probe: _Probe, words: Sequence[str]) -> None:
    """Refuse "norms" or "embedding" if the probe did not understand one of them: a gated norm, a table with rules of its own."""
    owned = {id(site.module) for site in every}
    odd = {name: module for name, (module, _, _) in probe.calls.items() if id(module) not in owned}
    tables = [name for name, module in odd.items() if isinstance(module, nn.Embedding)]
    norms = [
        name for name, module in odd.items() if name not in tables and all(p.ndim == 1 for p in module.parameters())
    ]
    chosen = [*(norms if "norms" in words else []), *(tables if "embedding" in words else [])]
    if chosen:
        raise InputError(
            f"grad.modules: the engine takes no per-prompt gradients of {_examples(chosen)}; leave "
            f"{'norms' if norms and 'norms' in words else 'embedding'} out, for example grad.modules: linear"
        )


def check_choice(model: nn.Module, modules: str) -> None:
    """Raise InputError if a part of `modules` matches nothing, or if it is all and a parameter in the blocks is of no layer known here.

    `model` needs no weights.
    """
    _refuse_unmatched(words_of(modules), layers_of_blocks(model))
    if "all" not in words_of(modules):
        return
    prefix, blocks = blocks_of(model)
    own = [
        (f"{prefix}.{name}.{kind}", kind, parameter)
        for name, module in blocks.named_modules()
        if not isinstance(module, nn.Linear | Conv1D | nn.Embedding)
        for kind, parameter in module.named_parameters(recurse=False)
    ]
    _refuse([name for name, kind, parameter in own if kind not in ("weight", "bias") or parameter.ndim > 2])


def _refuse(names: Sequence[str]) -> None:
    if names:
        raise InputError(
            f"grad.modules 'all': the engine takes no per-prompt gradients of {_examples(names)} (fused experts, convolutions or "
            "tables with rules of their own?). Ways out: choose parameters that have them, for example grad.modules: linear (beside "
            "experts: '*self_attn*_proj,norms'); or train a LoRA adapter (warmup.lora): gradients are then in adapter space"
        )


def _refuse_ties(model: nn.Module, sites: Sites) -> None:
    """Refuse parameters with two owners, whose parts would not be added up, except a head and an embedding that the probe understood."""
    embedding = embedding_of(model)
    tied = sites.head is not None and sites.head.weight is getattr(embedding, "weight", None)
    if tied and not any(site.module is embedding for site in sites.embeddings):
        raise InputError(
            f"grad.modules: the output head's weight is that of a {type(embedding).__name__}, whose gradient the engine does not "
            "support; choose others, for example grad.modules: linear"
        )
    owners: dict[int, str] = {}
    for site in sites:
        for kind, parameter in site.module.named_parameters(recurse=False):
            name = f"{site.name}.{kind}"
            other = owners.setdefault(id(parameter), name)
            if other != name:
                raise InputError(
                    f"grad.modules: {other} and {name} are one parameter, whose gradient the engine does not support; leave both "
                    "out with name patterns"
                )


def _refuse_other_matrices(model: nn.Module, chosen: Sequence[Site], patterns: Sequence[str], modules: str) -> None:
    """Refuse matrices in the blocks that a pattern names and no linear layer owns (grouped experts, routers, convolutions)."""
    prefix, blocks = blocks_of(model)
    owned = {id(p) for site in chosen for p in site.module.parameters(recurse=False)}
    others = [
        f"{prefix}.{name}"
        for name, parameter in blocks.named_parameters()
        if parameter.ndim >= 2 and id(parameter) not in owned and _matches(f"{prefix}.{name}", patterns)
    ]
    if others:
        raise InputError(
            f"grad.modules {modules!r}: {_examples(others)} are not linear layers (grouped experts?), so they have no per-prompt "
            "gradients here. Ways out: choose layers that have, for example grad.modules: '*self_attn*_proj'; or train a LoRA adapter "
            "on those layers (warmup.lora): gradients are then in adapter space"
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _refuse_unmatched(words: Sequence[str], names: Sequence[str]) -> None:
    for word in words:
        if word not in KEYWORDS and not any(fnmatch.fnmatchcase(name, word) for name in names):
            raise InputError(
                f"grad.modules: {word!r} matches no linear layer; the model has {_examples(names)}. Give a pattern of whole names, "
                f"such as '*self_attn*', or one of {', '.join(KEYWORDS)}"
            )


def _examples(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
