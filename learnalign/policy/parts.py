"""What the engine has to know about a causal language model: its body, its blocks, its output head, its adapters."""

from __future__ import annotations

from unittest.mock import patch

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import masking_utils

from learnalign.errors import InputError


def is_adapted(model: nn.Module) -> bool:
    """Whether `model` is a PEFT model."""
    return isinstance(model, PeftModel)


def base_of(model: nn.Module) -> nn.Module:
    """The causal language model itself, without PEFT's wrapping (adapter layers stay in it)."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def body_of(model: nn.Module) -> nn.Module:
    """Everything below the output head, final norm included."""
    base = base_of(model)
    body = base.base_model
    if body is base:
        raise InputError(f"{type(base).__name__} has no body apart from its head, so its gradients cannot be taken")
    return body  # type: ignore[return-value]


def run_backbone(
    model: nn.Module,
    token_ids: Int[Tensor, "B T"],
    position_ids: Int[Tensor, "B T"] | None = None,
    mask: Float[Tensor, "B 1 T T"] | None = None,
) -> Float[Tensor, "B T D"]:
    """Last hidden states, after the final norm.

    Rows are padded on the right, so causal attention keeps padding out without a mask. `mask` (additive) and `position_ids` come
    together, for rows that are trees (sharing.py).
    """
    tree = {} if mask is None else {"position_ids": position_ids, "attention_mask": mask}
    # transformers looks whether rows hold several sequences, which makes every pass wait for the device; ours never do.
    with patch.object(masking_utils, "find_packed_sequence_indices", lambda position_ids: None, create=True):
        return body_of(model)(input_ids=token_ids, use_cache=False, **tree).last_hidden_state


def head_of(model: nn.Module) -> nn.Linear:
    """The output head; raises InputError where it is not a plain linear layer."""
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
    body = body_of(model)
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    inside = {id(module) for module in body.modules()}
    lists = [(name, module) for name, module in lists if id(module) in inside]
    if not lists:
        raise InputError(f"{type(base_of(model)).__name__} has no list of blocks, so its linear layers cannot be found")
    return max(lists, key=lambda item: len(item[1]))


def check_adapter(policy: nn.Module) -> None:
    """Raise InputError for a PEFT model that trains more than LoRA's own parameters."""
    for config in policy.peft_config.values() if isinstance(policy, PeftModel) else []:
        more = [
            key
            for key in ("modules_to_save", "trainable_token_indices", "bias")
            if getattr(config, key, None) not in (None, "none")
        ]
        if more:
            raise InputError(
                f"the adapter trains more than LoRA layers ({', '.join(more)}), and gradients are taken of those only; train it without"
            )


def adapter_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of the active LoRA adapter; raises InputError for adapters whose parameters are not all in such layers."""
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
            f"the adapter has parameters outside plain LoRA layers ({', '.join(others[:3]) or 'no LoRA layer at all'}); "
            "gradients are taken of LoRA on linear layers only: train without use_dora, modules_to_save and embedding adapters"
        )
    return layers


def check_head(model: nn.Module) -> None:
    """Raise InputError where the logits are not simply head(body(tokens)): soft caps and scales would change the gradient."""
    token_ids = torch.arange(1, 9, device=head_of(model).weight.device)[None] % head_of(model).weight.shape[0]
    with torch.no_grad():
        expected = model(input_ids=token_ids, use_cache=False).logits.double()
        found = head_of(model)(run_backbone(model, token_ids)).double()
    if (found - expected).norm() > 1e-2 * expected.norm():
        raise InputError(
            f"{type(base_of(model)).__name__} changes its logits after the output head (soft cap or scale), which the gradient engine does "
            "not know; choose another model"
        )
