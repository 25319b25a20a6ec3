"""A tiny random model with a byte-level tokenizer, a pool to go with it, and rollouts made without sampling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from learnalign.config import Config, build_config
from learnalign.rundir import RunDir

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: 256 bytes, then <|pad|>, <|im_start|>, <|im_end|>."""
    vocab = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(path)
    return tokenizer


def save_model(path: Path, kind: str = "llama", seed: int = 0, **changes: Any) -> Path:
    """A random 2-layer model (`llama`, or `qwen2` with biases) and its tokenizer in `path`, as on the hub."""
    tokenizer = save_tokenizer(path)
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 512,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "initializer_range": 0.1,
    }
    torch.manual_seed(seed)
    config = {"llama": LlamaConfig, "qwen2": Qwen2Config}[kind](**(shape | changes))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    model.save_pretrained(path)
    return path


def save_pool(path: Path, count: int = 12) -> Path:
    """A JSONL of `count` sums of different lengths with keys question, answer, kind."""
    rows = [{"question": f"What is {i} + {i * i}?", "answer": str(i + i * i), "kind": i % 3} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_config(folder: Path, count: int = 12, kind: str = "llama", **sections: Any) -> Config:
    """A configuration of a tiny model and pool made in `folder`; `sections` override, e.g. `grad={"dim": 256}`."""
    settings: dict[str, Any] = {
        "model": {"name": str(save_model(folder / "model", kind)), "dtype": "float32"},
        "data": {"path": str(save_pool(folder / "pool.jsonl", count)), "prompt": "question"},
        "verifier": "exact",
        "warmup": {"size": 0},
        "rollout": {"engine": "transformers", "num_generations": 4, "max_completion_length": 12},
        "grad": {"dim": 512},
        "select": {"size": 3},
        "executor": {"shard_size": 5},
    }
    for name, value in sections.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    return build_config(settings)


def make_run(folder: Path, count: int = 12, kind: str = "llama", **sections: Any) -> RunDir:
    """A new run directory of `make_config`."""
    return RunDir.create(folder / "run", make_config(folder, count, kind, **sections))


def random_ids(rng: np.random.Generator, length: int) -> list[int]:
    """`length` random token ids of the byte-level tokenizer, no special ones."""
    return [int(i) for i in rng.integers(0, 256, length)]
