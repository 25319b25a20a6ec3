"""What signals have to know about a causal language model: its body, its last block, how long a text it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from learnalign.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def body_of(model: nn.Module) -> nn.Module:
    """Everything below the output head; adapter layers stay in it."""
    causal: Any = model
    if hasattr(model, "get_base_model"):  # a PEFT model
        causal = causal.get_base_model()
    return causal.base_model


def context_length(model: nn.Module) -> int:
    """The most tokens that the model takes at once."""
    config: Any = model.config
    return int(getattr(config.get_text_config(), "max_position_embeddings", None) or 1 << 31)


def last_hidden(model: PreTrainedModel, token_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """Last-layer hidden states, after the final norm."""
    return body_of(model)(input_ids=token_ids, use_cache=False).last_hidden_state


def last_block_output(model: PreTrainedModel, token_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """The last block's output, before the final norm. The output head is not run."""
    with _captured(_last_block(model)) as captured:
        body_of(model)(input_ids=token_ids, use_cache=False)
    return captured[-1]


def _last_block(model: nn.Module) -> nn.Module:
    lists = [module for module in body_of(model).modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise InputError(f"{type(model).__name__} has no list of blocks, so the output of its last one cannot be read")
    return max(lists, key=len)[-1]


@contextmanager
def _captured(module: nn.Module) -> Iterator[list[Tensor]]:
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _arguments: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handle = module.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()
