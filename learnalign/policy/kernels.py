"""Fused kernels for what a frozen model does in many small operations: norms, rotary embeddings, the product of a gated MLP.

torch compiles each of these parts on its own. Linear layers, norms and embeddings are called as before, and what a hook on them
(gradients/capture/sites.py) reads and gets back stays the same up to rounding. Whole layers cannot be compiled: their hooks would be
compiled with them. transformers' `use_kernels` is not taken, as it downloads programs when a model is loaded; nor is liger, whose
rotary embedding replaces transformers' own in the whole process.
Letters: B rows, T positions, D model width.
"""

from __future__ import annotations

import importlib.util
import inspect
import types
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from learnalign.errors import InputError
from learnalign.policy.loading import device
from learnalign.policy.parts import base_of, head_of, last_hidden

ROTARY = "apply_rotary_pos_emb"  # what transformers' attention layers call
GATED = ("gate_proj", "up_proj", "down_proj", "act_fn")
ROUNDING = {2: 0.05, 4: 1e-4, 8: 1e-4}  # largest relative error of a part by rounding, by bytes of an entry

Forward = Callable[..., Any]
Compile = Callable[[Forward], Forward]


def choose_kernels(setting: str) -> str:
    """What `model.kernels` means on this machine, `compile` or `off`: auto compiles on a GPU if triton is installed."""
    if setting != "auto":
        return setting
    return "compile" if device().type == "cuda" and importlib.util.find_spec("triton") else "off"


def fused(model: nn.Module, setting: str) -> nn.Module:
    """The frozen `model`, changed in place if `model.kernels` is `setting`.

    Raises InputError if torch cannot compile here, if the model has none of the parts and they were asked for, or if what one of
    each kind returns, or its gradient, is other than before.
    """
    if choose_kernels(setting) == "off":
        return model
    parts = _parts(model, "inductor")
    if not parts and setting == "compile":
        raise InputError(
            f"model.kernels: compile: {type(base_of(model)).__name__} has no RMSNorm, rotary embedding or gated MLP of the known forms; "
            "set it to off"
        )
    try:
        _check(model, parts)
    except (RuntimeError, OSError) as error:
        needs = "triton" if device().type == "cuda" else "a C++ compiler and Python's headers"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"model.kernels: {setting}: torch could not compile ({reason}); it needs {needs}; or set it to off"
        ) from error
    _replace(parts)
    return model


def fuse(model: nn.Module, backend: str = "inductor") -> int:
    """Compile the parts of `model`, each with torch's `backend` at its first call; returns how many parts there are."""
    parts = _parts(model, backend)
    _replace(parts)
    return len(parts)


def _parts(model: nn.Module, backend: str) -> dict[nn.Module, Forward]:
    """The modules that have small operations, and a forward pass for each with these compiled."""
    compiled: dict[Forward, Forward] = {}

    def compile(function: Forward) -> Forward:
        if function not in compiled:
            compiled[function] = torch.compile(function, dynamic=True, backend=backend)
        return compiled[function]

    plain = [module for module in model.modules() if "forward" not in vars(module)]  # accelerate replaces some
    forwards = {module: _fused_forward(module, compile) for module in plain}
    return {module: forward for module, forward in forwards.items() if forward is not None}


def _replace(parts: dict[nn.Module, Forward]) -> None:
    for module, forward in parts.items():
        module.forward = types.MethodType(forward, module)


def _fused_forward(module: nn.Module, compile: Compile) -> Forward | None:
    """The forward pass of a module with its small operations compiled, or None if it has no known ones."""
    forward = type(module).forward
    if "RMSNorm" in type(module).__name__ and _takes_one(forward):
        return _by_rows(compile(forward))
    if isinstance(forward, types.FunctionType) and ROTARY in {*forward.__code__.co_names} & forward.__globals__.keys():
        return _with_global(forward, ROTARY, compile(forward.__globals__[ROTARY]))
    if all(hasattr(module, name) for name in GATED) and _takes_one(forward) and _is_gated(module):
        return _gated(compile(_product))
    return None


def _takes_one(forward: Forward) -> bool:
    return len(inspect.signature(forward).parameters) == 2  # with self


def _by_rows(norm: Forward) -> Forward:
    """As a matrix, since torch compiles again for another number of dimensions and for sizes of one."""

    def forward(module: nn.Module, x: Tensor) -> Tensor:
        return norm(module, x.reshape(-1, x.shape[-1])).view(x.shape)

    return forward


def _gated(product: Forward) -> Forward:
    def forward(module: Any, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        gate, up = module.gate_proj(x), module.up_proj(x)
        return module.down_proj(product(module.act_fn, gate.flatten(0, -2), up.flatten(0, -2)).view(gate.shape))

    return forward


def _product(activation: Forward, gate: Tensor, up: Tensor) -> Tensor:
    return activation(gate) * up


def _is_gated(module: Any) -> bool:
    """Whether the module computes down(act(gate(x)) ∘ up(x)), to the last bit."""
    weight = next(module.parameters())
    x = torch.linspace(-1, 1, 2 * module.gate_proj.in_features, dtype=weight.dtype, device=weight.device).view(1, 2, -1)
    with torch.no_grad():
        return torch.equal(_gated(_product)(module, x), module(x))


def _with_global(function: types.FunctionType, name: str, value: Forward) -> Forward:
    """The function with another value for one of the names of its module, which stays as it is."""
    names = {**function.__globals__, name: value}
    changed = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    changed.__kwdefaults__ = function.__kwdefaults__
    return changed


def _check(model: nn.Module, parts: dict[nn.Module, Forward]) -> None:
    """Raise InputError if the first part of a kind, given what it gets in a pass of a few tokens, returns something else than before."""
    firsts = list({type(module): module for module in reversed(parts)}.values())
    for module, (x, more) in _inputs(model, firsts).items():
        plain, compiled = (_results(forward, module, x, more) for forward in (type(module).forward, parts[module]))
        for what in plain:
            distance = float((compiled[what] - plain[what]).norm() / plain[what].norm())
            if not distance <= ROUNDING[x.element_size()]:
                raise InputError(
                    f"model.kernels: compiled, the {what} of {type(module).__name__} are {distance:.1g} (relative) from what they were; "
                    "set it to off"
                )


def _inputs(model: nn.Module, modules: list[nn.Module]) -> dict[nn.Module, tuple[Tensor, dict[str, Any]]]:
    """The hidden states that each module gets, and its other arguments."""
    weight, inputs = head_of(model).weight, dict[nn.Module, tuple[Tensor, dict[str, Any]]]()

    def keep(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        more = {name: value for name, value in named.items() if name != "hidden_states"}
        inputs[module] = (arguments[0] if arguments else named["hidden_states"], more)

    handles = [module.register_forward_pre_hook(keep, with_kwargs=True) for module in modules]
    try:
        with torch.no_grad():
            last_hidden(model, torch.arange(2, 18, device=weight.device).view(2, 8) % weight.shape[0])
    finally:
        for handle in handles:
            handle.remove()
    return inputs


def _results(forward: Forward, module: nn.Module, x: Tensor, more: dict[str, Any]) -> dict[str, Tensor]:
    """What a module returns, and the gradient of a weighted sum of it with respect to its input."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        result = forward(module, leaf, **more)
        result = result[0] if isinstance(result, tuple) else result  # attention returns its weights too
        weights = torch.linspace(-1, 1, result.numel(), dtype=torch.double, device=x.device).view_as(result)
        (gradient,) = torch.autograd.grad((result.double() * weights).sum(), leaf)
    return {"results": result.detach().double(), "gradients": gradient.double()}
