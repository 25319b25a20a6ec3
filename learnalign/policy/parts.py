"""The parts of a causal language model: body, blocks, output head, embedding, adapter layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from learnalign.errors import InputError


def is_adapted(model: nn.Module) -> bool:
    """Whether `model` is a PEFT model."""
    return hasattr(model, "get_base_model")


def base_of(model: nn.Module) -> nn.Module:
    """The causal language model itself, without PEFT's wrapping (adapter layers stay in it)."""
    return model.get_base_model() if is_adapted(model) else model  # type: ignore[operator]


def body_of(model: nn.Module) -> nn.Module:
    """Everything below the output head, final norm included."""
    base = base_of(model)
    body = base.base_model
    if body is base:
        raise InputError(f"{type(base).__name__} has no body apart from its head")
    return body  # type: ignore[return-value]


def head_of(model: nn.Module) -> nn.Linear:
    """The output head; raises InputError if it is not a plain linear layer."""
    head = base_of(model).get_output_embeddings()  # type: ignore[operator]
    if not isinstance(head, nn.Linear):
        raise InputError(
            f"the output head of {type(base_of(model)).__name__} is a {type(head).__name__}, not a linear layer"
        )
    return head


def embedding_of(model: nn.Module) -> nn.Module:
    """The input embedding."""
    return base_of(model).get_input_embeddings()  # type: ignore[operator]


def blocks_of(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The list of transformer blocks and its name in `model`: the longest module list of the body."""
    inside = set(body_of(model).modules())
    named = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList))
    lists = [(name, module) for name, module in named if module in inside and len(module)]
    if not lists:
        raise InputError(f"{type(base_of(model)).__name__} has no list of transformer blocks")
    return max(lists, key=lambda item: len(item[1]))


def context_length(model: nn.Module) -> int:
    """The most tokens that the model takes at once."""
    config: Any = model.config
    return int(getattr(config.get_text_config(), "max_position_embeddings", None) or 1 << 31)


def last_hidden(
    model: nn.Module,
    token_ids: Int[Tensor, "B T"],
    position_ids: Int[Tensor, "B T"] | None = None,
    mask: Float[Tensor, "B 1 T T"] | None = None,
) -> Float[Tensor, "B T D"]:
    """Hidden states after the final norm. The output head is not run.

    Pad rows on the right: causal attention then needs no mask. Give `mask` (additive) and `position_ids` together, for rows that
    are trees (gradients/capture/sharing.py).
    """
    from transformers import masking_utils  # slow to import, and there with every model

    tree = {} if mask is None else {"position_ids": position_ids, "attention_mask": mask}
    # transformers looks for several sequences in a row, which makes every pass wait for the device; our rows never hold several.
    with replaced(masking_utils, "find_packed_sequence_indices", lambda position_ids: None):
        hidden = body_of(model)(input_ids=token_ids, use_cache=False, **tree).last_hidden_state
    return hidden.to(token_ids.device)  # the last layer may be on another device


def last_block_output(model: nn.Module, token_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """The last block's output, before the final norm. The output head is not run."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _arguments: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handle = blocks_of(model)[1][-1].register_forward_hook(keep)
    try:
        last_hidden(model, token_ids)
    finally:
        handle.remove()
    return outputs[-1]


def check_adapter(policy: nn.Module) -> None:
    """Raise InputError for a PEFT model that trains more than LoRA's own parameters."""
    configs: Any = policy.peft_config if is_adapted(policy) else {}
    for config in configs.values():
        more = [
            key
            for key in ("modules_to_save", "trainable_token_indices", "bias")
            if getattr(config, key, None) not in (None, "none")
        ]
        if more:
            raise InputError(
                f"the adapter trains more than LoRA layers ({', '.join(more)}), but only LoRA layers have per-prompt gradients here; "
                "retrain the adapter without"
            )


def adapter_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of the active LoRA adapter; raises InputError if the adapter has parameters outside such layers."""
    from peft.tuners.lora import LoraLayer  # slow to import, and only adapters need it

    layers: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            for side in ("lora_A", "lora_B"):
                for adapter, layer in getattr(module, side).items():
                    layers[f"{name}.{side}.{adapter}"] = layer
    owned = {id(parameter) for layer in layers.values() for parameter in layer.parameters()}
    others = [
        name
        for name, parameter in model.named_parameters()
        if ("lora_" in name or "modules_to_save" in name) and id(parameter) not in owned
    ]
    if others or not all(isinstance(layer, nn.Linear) for layer in layers.values()) or not layers:
        raise InputError(
            f"the adapter has parameters outside plain LoRA layers ({', '.join(others[:3]) or 'no LoRA layer at all'}); only LoRA on "
            "linear layers has per-prompt gradients here: train without use_dora, modules_to_save and embedding adapters"
        )
    return layers


def check_head(model: nn.Module) -> None:
    """Raise InputError unless the logits are simply head(body(tokens)): soft caps and scales would change the gradient."""
    head = head_of(model)
    token_ids = torch.arange(1, 9, device=head.weight.device)[None] % head.weight.shape[0]
    with torch.no_grad():
        expected = model(input_ids=token_ids, use_cache=False).logits.double()
        logits = head(last_hidden(model, token_ids)).double()
    if (logits - expected).norm() > 1e-2 * expected.norm():
        raise InputError(
            f"{type(base_of(model)).__name__} changes its logits after the output head (soft cap or scale), which the gradient engine "
            "does not support; choose another model"
        )


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Within the block, `owner.name` is `value`; does nothing if there is no such name."""
    if not hasattr(owner, name):
        yield
        return
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
