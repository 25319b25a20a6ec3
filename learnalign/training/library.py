"""TRL's GRPO and RLOO, imported without vLLM if there is no GPU.

TRL imports vLLM wherever it is installed, 5 CPU seconds before a training begins, but cannot give new weights to vLLM on a CPU.
"""

from __future__ import annotations

import contextlib
import importlib

from learnalign.policy import device
from learnalign.policy.parts import replaced

_without_vllm = replaced(
    importlib.import_module("trl.import_utils"), "is_vllm_available", lambda min_version=None: False
)
with _without_vllm if device().type == "cpu" else contextlib.nullcontext():
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
    from trl.models import prepare_deepspeed, prepare_fsdp
    from trl.trainer.utils import add_fused_lm_head, create_model_from_path, disable_dropout_in_model

__all__ = [
    "GRPOConfig",
    "GRPOTrainer",
    "RLOOConfig",
    "RLOOTrainer",
    "add_fused_lm_head",
    "create_model_from_path",
    "disable_dropout_in_model",
    "prepare_deepspeed",
    "prepare_fsdp",
]
