"""Mean negative log-likelihoods of texts at temperature 1. Letters: B rows, T tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from learnalign.signals.batches import in_batches, pad

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOGIT_ENTRIES = {"cpu": 1 << 26, "cuda": 1 << 29}  # logits of one batch: 256 MB in float32, 1 GB in bfloat16


def mean_nll(
    model: PreTrainedModel, texts: Sequence[tuple[Sequence[int], Sequence[int]]], batch_tokens: int
) -> list[float]:
    """−1/T Σ_t log π(y_t | x, y_<t) for every (x, y) of token ids; both have at least one token."""
    vocabulary = model.get_output_embeddings().weight.shape[0]  # type: ignore[union-attr]
    budget = min(batch_tokens, LOGIT_ENTRIES.get(model.device.type, LOGIT_ENTRIES["cuda"]) // vocabulary)
    return in_batches(texts, [len(x) + len(y) for x, y in texts], budget, lambda batch: _batch_nll(model, batch))


@torch.no_grad()
def _batch_nll(model: PreTrainedModel, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    token_ids = pad([[*x, *y] for x, y in texts], model.device)
    first = min(len(x) for x, _ in texts) - 1
    keep = torch.arange(first, token_ids.shape[1] - 1, device=model.device)
    logits = model(input_ids=token_ids, use_cache=False, logits_to_keep=keep).logits  # [B, T - first - 1, V]
    return [
        _mean_cross_entropy(row[len(x) - 1 - first :][: len(y)], torch.tensor(y, device=model.device))
        for row, (x, y) in zip(logits, texts, strict=True)
    ]


def _mean_cross_entropy(logits: Float[Tensor, "T V"], token_ids: Int[Tensor, "T"]) -> float:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return float(torch.nn.functional.cross_entropy(logits, token_ids, reduction="none").double().mean())


@torch.no_grad()
def last_logits(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> Float[Tensor, "B V"]:
    """Logits of the token after each sequence."""
    last = torch.tensor([len(sequence) - 1 for sequence in sequences], device=model.device)
    keep, column = last.unique(return_inverse=True)
    logits = model(input_ids=pad(sequences, model.device), use_cache=False, logits_to_keep=keep).logits
    return logits[torch.arange(len(sequences), device=model.device), column].float()
