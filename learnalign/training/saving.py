"""Policies on disk: Hugging Face directories and PEFT adapters."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from learnalign.config import Config, final_path
from learnalign.policy import adapter_base, load_model, load_tokenizer, model_path, with_adapter
from learnalign.rundir.files import atomic_path, read_json, write_json
from learnalign.training.settings import base_dtype


def save_policy(
    folder: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    config: Config,
    start: str,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Write a model, or an adapter on `start`, and its tokenizer into `folder`; `weights` if the model holds a part of them.

    Weights stay float32, to keep small steps; config.json names the base model's precision, in which `dtype: auto`
    reads them.
    """
    adapters = getattr(model, "peft_config", {})
    for adapter in adapters.values():  # absolute, to be valid in any working directory
        adapter.base_model_name_or_path = str(final_path(Path(start))) if Path(start).is_dir() else start
    model.save_pretrained(folder, **({} if weights is None else {"state_dict": weights}))
    tokenizer.save_pretrained(folder)
    settings = folder / "config.json"
    if settings.is_file():
        dtype = str(base_dtype(config)).removeprefix("torch.")
        write_json(settings, {**read_json(settings), "dtype": dtype})


def whole_weights(accelerator: Any, model: Any) -> dict[str, Tensor]:
    """The weights of a model that FSDP or DeepSpeed divides, each once; all processes call this, and the first one gets them.

    DeepSpeed trains float32 copies of a model in bfloat16, which its own `state_dict` leaves out.
    """
    whole, weights = accelerator.unwrap_model(model), {}
    if accelerator.distributed_type != "DEEPSPEED":
        gathered = accelerator.get_state_dict(model)
        return {name: tensor for name, tensor in gathered.items() if name not in whole.all_tied_weights_keys}
    import deepspeed

    for name, parameter in whole.named_parameters():
        trained = deepspeed.utils.safe_get_full_fp32_param(parameter) if parameter.requires_grad else None
        with deepspeed.zero.GatheredParameters([parameter]) if trained is None else contextlib.nullcontext():
            if accelerator.is_main_process:
                weights[name] = (parameter if trained is None else trained).detach().float().cpu()
    return weights


def merge_adapter(config: Config, adapter: Path, output: Path) -> None:
    """Merge an adapter into its base model and write the result to `output`, in float32."""
    base = adapter_base(adapter)
    float32 = config.model.model_copy(update={"dtype": "float32"})
    model: PreTrainedModel = load_model(
        config.model_copy(update={"model": float32}), None if base == model_path(config) else base
    )
    merged = with_adapter(model, adapter).merge_and_unload()  # type: ignore[operator]
    with atomic_path(output) as folder:
        save_policy(folder, merged, load_tokenizer(config), config, base)
