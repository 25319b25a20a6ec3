"""Gradients of the hidden states at completion positions (Eq. 7), in chunks: no tensor of tokens × vocabulary exists.

With logits z = W h / τ, ∂ log π(o_t)/∂z = onehot(o_t) − softmax(z), so the head runs forward and backward on one chunk at a time and
only ∂J/∂h [N, D] remains. Letters: N completion tokens, D model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from learnalign.gradients.grpo import coefficients

CHUNK_ENTRIES = {"cpu": 1 << 23, "cuda": 1 << 27}  # logits of one chunk, float32: 32 MB and 512 MB

HeadSink = Callable[[slice, Tensor, Tensor], None]


def chunks(count: int, vocabulary: int, device: torch.device) -> list[slice]:
    """Slices of `count` tokens whose logits fit the chunk size."""
    size = max(16, CHUNK_ENTRIES.get(device.type, CHUNK_ENTRIES["cuda"]) // vocabulary)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def token_log_probs(
    hidden: Float[Tensor, "N D"], token_ids: Int[Tensor, "N"], head: nn.Linear, temperature: float
) -> Float[Tensor, "N"]:
    """log π(o_t) at `temperature`, in float32 (float64 for float64 models)."""
    parts = [
        _at(_log_softmax(hidden[part], head, temperature), token_ids[part])
        for part in chunks(len(hidden), head.weight.shape[0], hidden.device)
    ]
    return torch.cat(parts)


def hidden_gradient(
    hidden: Float[Tensor, "N D"],
    token_ids: Int[Tensor, "N"],
    advantage: Float[Tensor, "N"],
    weight: Float[Tensor, "N"],
    reference: Float[Tensor, "N"] | None,
    head: nn.Linear,
    *,
    temperature: float,
    beta: float,
    head_sink: HeadSink | None = None,
) -> Float[Tensor, "N D"]:
    """∂/∂h of Σ_t weight_t c_t log π(o_t), in the dtype of `hidden`.

    `weight` is 1/(|R||o|) of each token's rollout; `reference` log π_ref(o_t), needed if beta > 0. `head_sink` gets each chunk's
    slice, hidden states and logit gradients [N, V], for the output head's own gradient.
    """
    gradient = torch.empty_like(hidden)
    for part in chunks(len(hidden), head.weight.shape[0], hidden.device):
        logits = _log_softmax(hidden[part], head, temperature)
        log_probs = _at(logits, token_ids[part])
        c = coefficients(advantage[part], log_probs, None if reference is None else reference[part], beta)
        scale = (c * weight[part] / -temperature).unsqueeze(1)
        delta = logits.exp_()  # becomes softmax − onehot; `scale` holds the minus sign
        delta[torch.arange(len(delta), device=delta.device), token_ids[part]] -= 1.0
        gradient[part] = (delta.to(hidden.dtype) @ head.weight).to(scale.dtype) * scale
        if head_sink is not None:
            head_sink(part, hidden[part], delta.mul_(scale))
    return gradient


def _log_softmax(hidden: Tensor, head: nn.Linear, temperature: float) -> Tensor:
    """All log-probabilities of a chunk in float32 at least, in a new tensor."""
    logits = nn.functional.linear(hidden, head.weight, head.bias)
    wide = torch.promote_types(logits.dtype, torch.float32)
    if temperature != 1.0:
        logits = logits.to(wide).div_(temperature)
    return torch.log_softmax(logits, dim=-1, dtype=wide)


def _at(log_probs: Tensor, token_ids: Tensor) -> Tensor:
    return log_probs.gather(1, token_ids.unsqueeze(1)).squeeze(1)
