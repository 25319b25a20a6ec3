"""How large a model is, from its config.json or its name: no weights are read or downloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign.config import Config
from learnalign.errors import InputError
from learnalign.policy.loading import model_config, model_path, model_without_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_NAMED = re.compile(r"(?<![A-Za-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([BM])(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """`parameters` of `bytes_each`; bytes of a token's keys and values, and of what a token's forward and backward pass keeps.

    The last two are None if only the model's name was there.
    """

    parameters: int
    bytes_each: int
    cache_bytes: int | None = None
    activation_bytes: int | None = None

    @property
    def from_name(self) -> bool:
        """Whether only the model's name was there."""
        return self.activation_bytes is None


def model_size(config: Config) -> ModelSize:
    """The base model's size by its config.json or, if the hub cannot be reached, by its name (Qwen2.5-3B: 3 billion parameters).

    Raises InputError if neither says it.
    """
    try:
        model = model_without_weights(config)
    except InputError as error:
        path = model_path(config)
        parameters = None if Path(path).is_dir() or path.startswith((".", "/", "~")) else named_parameters(path)
        if parameters is None:
            raise InputError(
                f"{error}; its size cannot be told without its config.json: put that file alone into a directory, and give that "
                "with --set model.name=DIR"
            ) from None
        return ModelSize(parameters=parameters, bytes_each=_BYTES.get(config.model.dtype, 2))
    own = str(model_config(config).get_text_config().dtype or "float32").removeprefix("torch.")
    each = _BYTES.get(own if config.model.dtype == "auto" else config.model.dtype, 4)
    return ModelSize(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes_each=each,
        cache_bytes=each * _cached_numbers(model.config.get_text_config()),
        activation_bytes=each * _kept_numbers(model),
    )


def named_parameters(name: str) -> int | None:
    """The parameters that a model's name tells: 3 billion for Qwen2.5-3B; experts times their size for 8x7B."""
    match = _NAMED.search(name.rpartition("/")[2])
    if match is None:
        return None
    times, number, unit = match.groups()
    return round(int(times or 1) * float(number) * {"B": 1e9, "M": 1e6}[unit.upper()])


def _cached_numbers(settings: Any) -> int:
    """Keys and values of a token in all layers."""
    heads = settings.num_attention_heads
    width = getattr(settings, "head_dim", None) or settings.hidden_size // heads
    return 2 * int(settings.num_hidden_layers * (getattr(settings, "num_key_value_heads", None) or heads) * width)


def _kept_numbers(model: PreTrainedModel) -> int:
    """Of a token, twice the inputs and outputs of the blocks' linear layers: a rough upper bound."""
    from torch import nn

    from learnalign.policy.parts import blocks_of

    layers = [layer for layer in blocks_of(model)[1].modules() if isinstance(layer, nn.Linear)]
    return 2 * sum(layer.in_features + layer.out_features for layer in layers)
