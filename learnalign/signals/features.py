"""Position-weighted mean of last-layer hidden states, as RDS+, for feature similarity and k-means.

h = Σ_i i·h_i / Σ_i i over the tokens i = 1..T of prompt and answer, h_i after the final norm. `vector` stores h; the
value is its norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.policy.parts import context_length, last_hidden
from learnalign.signals.batches import in_batches, pad
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Compute, Signal, SignalInputs, SignalRow, each, no_answer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def weighted_means(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> Float[Tensor, "B D"]:
    """Σ_i i·h_i / Σ_i i of every sequence, in float32 (float64 for float64 models), on the CPU."""
    hidden = last_hidden(model, pad(sequences, model.device))
    hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    position = torch.arange(1, hidden.shape[1] + 1, device=model.device)
    length = torch.tensor([len(sequence) for sequence in sequences], device=model.device)[:, None]
    weights = torch.where(position <= length, position, 0).to(hidden.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return (weights[:, None] @ hidden).squeeze(1).cpu()


def make(inputs: SignalInputs) -> Compute:
    """Vectors under the policy."""
    model, batch_tokens = inputs.policy, inputs.config.signal.batch_tokens

    def rows(rendered: Sequence[RenderedPrompt]) -> list[SignalRow]:
        sequences = [[*one.prompt_ids, *one.answer_ids] for one in rendered]
        vectors = in_batches(
            sequences, [len(sequence) for sequence in sequences], batch_tokens, lambda batch: _vectors(model, batch)
        )
        return [{"value": float(vector.double().norm()), "vector": vector.float().numpy()} for vector in vectors]

    return lambda rendered: each(rendered, no_answer(context_length(model)), rows)


def _vectors(model: PreTrainedModel, sequences: list[list[int]]) -> list[Tensor]:
    return list(weighted_means(model, sequences))


SIGNAL = Signal(
    name="features",
    make=make,
    columns={"vector": pa.list_(pa.float32())},
)
