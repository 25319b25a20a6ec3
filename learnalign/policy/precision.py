"""Which precision a CPU computes a model in under `model.dtype: auto`: the checkpoint's, or float32 if that is faster."""

from __future__ import annotations

import platform


def faster_on_cpu(own: str) -> str:
    """`own`, a checkpoint's precision, if this CPU has instructions for it, else float32.

    By the CPU's capability flags and not by a measurement, so that a busy machine decides the same. Products in a precision
    that is only emulated take up to fifty times as long.
    """
    return own if own not in _NATIVE or _NATIVE[own]() else "float32"


def _has_bfloat16() -> bool:
    import torch

    if platform.machine() in ("x86_64", "AMD64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _has_float16() -> bool:
    import torch

    if platform.machine() in ("x86_64", "AMD64"):
        return torch.cpu._is_amx_fp16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


_NATIVE = {"bfloat16": _has_bfloat16, "float16": _has_float16}
