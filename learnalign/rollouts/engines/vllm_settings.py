"""Arguments and environment of vLLM, and the explanation of its errors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign import isolation
from learnalign.config import Config
from learnalign.errors import InputError, counted
from learnalign.executor import visible_gpus
from learnalign.policy import (
    check_finite_files,
    check_weights,
    is_adapter,
    model_config,
    model_path,
    precision,
    reading,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's choices of max_lora_rank
_GIB = 2**30
_CPU_ROWS = 256  # samples that run together on a CPU: vLLM's own default


def engine_arguments(config: Config, path: str, max_length: int | None) -> dict[str, Any]:
    """Arguments of vLLM's LLM: ours, then `rollout.vllm` over them. Raises InputError if the adapter's rank is too large."""
    import torch

    base = model_path(config) if is_adapter(path) else path
    check_weights(config, "model.name", base)
    for model in {base, path}:
        check_finite_files(f"model {model}", model)
    options = {"revision": config.model.revision, "trust_remote_code": config.model.trust_remote_code}
    text = model_config(config, base).get_text_config()
    limits = [limit for limit in (getattr(text, "max_position_embeddings", None), max_length) if limit is not None]
    arguments: dict[str, Any] = {
        "model": base,
        **options,
        "dtype": precision(config, base, config.model.revision),  # vLLM's auto would halve float32
        "max_model_len": min(limits) if limits else None,
        "seed": config.seed,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",  # not the model's own sampling settings
        "enable_prefix_caching": True,
    }
    if is_adapter(path):
        arguments |= {"enable_lora": True, "max_lora_rank": _lora_rank(path)}
    if not torch.cuda.is_available():
        arguments |= {"enforce_eager": True, "gpu_memory_utilization": 0.2, "max_num_seqs": _CPU_ROWS}
        arguments["kv_cache_memory_bytes"] = _cpu_cache_bytes(text, min(limits, default=4096))
        # A prompt cut in two makes vLLM step a seeded generator back, which a CPU's cannot ("does not use offset").
        arguments["enable_chunked_prefill"] = False
    return arguments | config.rollout.vllm


def _lora_rank(path: str) -> int:
    with reading(f"adapter {path}", "adapter_config.json"):
        rank = int(json.loads((Path(path) / "adapter_config.json").read_text(encoding="utf-8"))["r"])
    if rank > _RANKS[-1]:
        raise InputError(
            f"{path}: vLLM takes LoRA ranks up to {_RANKS[-1]}, this adapter has {rank}; use "
            "--set rollout.engine=transformers"
        )
    return next(choice for choice in _RANKS if choice >= rank)


def _cpu_cache_bytes(text: PretrainedConfig, longest: int) -> int:
    """Memory for the keys and values of all samples that run together; at most a quarter of the free memory."""
    import torch

    from learnalign.policy.memory import free_memory

    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    wanted = 4 * 2 * _CPU_ROWS * (longest + 128) * text.num_hidden_layers * heads * width
    return max(_GIB // 4, min(wanted, free_memory(torch.device("cpu")) // 4))


def environment(arguments: dict[str, Any], replica: int, replicas: int) -> dict[str, str]:
    """The environment of one replica: its GPUs, or vLLM's settings for a CPU. The user's own variables win."""
    import torch

    ours = {"VLLM_LOGGING_LEVEL": "WARNING", "PYTHONSAFEPATH": "1"}  # vLLM starts `python -m` itself
    if Path(arguments["model"]).is_dir():
        ours["HF_HUB_OFFLINE"] = "1"
    if not torch.cuda.is_available():
        ours |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    merged = {**ours, **isolation.environment()}
    if replicas > 1 and torch.cuda.is_available():
        each, visible = gpus_of(arguments), visible_gpus()
        mine = visible[replica * each : (replica + 1) * each]
        if len(mine) < each:
            raise InputError(
                f"rollout.vllm: {counted(replicas, 'replica')} of {counted(each, 'GPU')} each need {replicas * each}, {len(visible)} are "
                "visible; lower data_parallel_size or tensor_parallel_size"
            )
        merged["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return merged


def gpus_of(arguments: Mapping[str, Any]) -> int:
    """The GPUs that an engine with these arguments takes, all its replicas together."""
    sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    return math.prod(int(arguments.get(size) or 1) for size in sizes)


_HINTS = {
    "head size": "vLLM has no attention for this model's head size here; use --set rollout.engine=transformers",
    "out of memory": "lower --set rollout.vllm.gpu_memory_utilization=0.8, free the GPU, or use a smaller model",
    "less than desired GPU memory": "free the GPU, or lower --set rollout.vllm.gpu_memory_utilization=0.8",
    "on kv cache": "free memory, or lower --set rollout.vllm.kv_cache_memory_bytes=1073741824",
    "max_model_len": "set a shorter --set rollout.vllm.max_model_len=TOKENS, or lower rollout.max_completion_length",
    "unexpected keyword argument": "rollout.vllm takes the arguments of vLLM's engine; remove the wrong one",
    "architectures": "this vLLM does not know the model; use --set rollout.engine=transformers",
}


def explain(log: str) -> str:
    """The last error in vLLM's output, and what to change."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.split(":")[0].split(".")[-1].endswith(("Error", "Exception"))]
    last = " ".join(lines[errors[-1] : errors[-1] + 4] if errors else lines[-1:])[:500] or "none"
    hints = [hint for mark, hint in _HINTS.items() if mark.lower() in last.lower()]
    ways = hints[0] if hints else "change rollout.vllm (any engine argument), or use --set rollout.engine=transformers"
    return f"Its last error: {last}\nWays out: {ways}"
