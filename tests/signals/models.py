"""Tiny random models in float64 or float32, and sequences of random ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel, Qwen2Config

SHAPE: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}


def tiny(kind: str = "llama", dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """A frozen random model of 61 tokens."""
    torch.manual_seed(0)
    config = {
        "llama": lambda: LlamaConfig(**SHAPE),
        "qwen2": lambda: Qwen2Config(**SHAPE),
        "gpt2": lambda: GPT2Config(
            vocab_size=61, n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=0, eos_token_id=0
        ),
    }[kind]()
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval().requires_grad_(False)


def sequences(*lengths: int, seed: int = 0) -> list[list[int]]:
    """Random token ids of these lengths."""
    rng = np.random.default_rng(seed)
    return [[int(i) for i in rng.integers(0, 61, length)] for length in lengths]
