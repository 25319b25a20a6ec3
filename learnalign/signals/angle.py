"""Angle concentration of a prompt's hidden states (GAIN-RL, Eq. 5 and 7), from prefill alone.

The first n of a prompt's m tokens are the chat template's prefix (system prompt and worked examples), the rest is the
question. With unit hidden states x̂ of the last block's output, sums of cosines are inner products of sums of vectors:
    C_intra = 1/(m−n)² Σ_{i,j>n} cos θ_ij   = ‖Σ_{i>n} x̂_i‖² / (m−n)²
    C_inter = 1/((m−n)n) Σ_{i>n, j≤n} cos θ_ij = ⟨Σ_{i>n} x̂_i, Σ_{j≤n} x̂_j⟩ / ((m−n)n)
so that a prompt costs O(m), not O(m²). Letters: B prompts, T tokens, D model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from learnalign.policy.parts import context_length, last_block_output
from learnalign.rundir import RunDir
from learnalign.signals.batches import in_batches, pad
from learnalign.signals.concentration import combine
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.segments import prefix_length
from learnalign.signals.signal import Compute, Signal, SignalInputs, SignalRow, each

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def angle_concentration(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], prefix_lengths: Sequence[int]
) -> tuple[list[float], list[float | None]]:
    """C_intra and C_inter of one batch of prompts; C_inter is None if a prompt has no first segment.

    Args:
        model: in evaluation mode; only its body is run.
        prompts: token ids, generation prompt included.
        prefix_lengths: tokens of each prompt's first segment, 0 for none; less than the prompt's.
    """
    token_ids = pad(prompts, model.device)
    states = last_block_output(model, token_ids)  # [B, T, D]
    states = states.to(torch.promote_types(states.dtype, torch.float32))
    position = torch.arange(token_ids.shape[1], device=model.device)
    end = torch.tensor([len(prompt) for prompt in prompts], device=model.device)[:, None]
    boundary = torch.tensor(prefix_lengths, device=model.device)[:, None]
    segments = torch.stack([(position >= boundary) & (position < end), position < boundary], dim=1)  # [B, 2, T]
    weights = segments / states.norm(dim=-1)[:, None]
    question, prefix = (weights @ states).double().unbind(dim=1)  # [B, D] each
    tokens, before = (end - boundary).double().squeeze(1), boundary.double().squeeze(1)
    intra = (question**2).sum(-1) / tokens**2
    inter = (question * prefix).sum(-1) / (tokens * before)
    return intra.tolist(), [value if n else None for value, n in zip(inter.tolist(), prefix_lengths, strict=True)]


def make(inputs: SignalInputs) -> Compute:
    """Concentrations under the policy; needs no answer."""
    model, tokenizer, settings = inputs.policy, inputs.tokenizer, inputs.config.signal
    limit = context_length(model)

    def batch(prompts: list[tuple[list[int], int]]) -> list[tuple[float, float | None]]:
        return list(zip(*angle_concentration(model, *map(list, zip(*prompts, strict=True))), strict=True))

    def rows(rendered: Sequence[RenderedPrompt]) -> list[SignalRow]:
        prompts = [(one.prompt_ids, prefix_length(tokenizer, one.prompt.messages)) for one in rendered]
        parts = in_batches(prompts, [len(ids) for ids, _ in prompts], settings.batch_tokens, batch)
        values = combine([intra for intra, _ in parts], [inter for _, inter in parts], settings.angle_weight).tolist()
        return [
            {"value": value, "c_intra": intra, "c_inter": inter}
            for value, (intra, inter) in zip(values, parts, strict=True)
        ]

    def skip_reason(rendered: RenderedPrompt) -> str | None:
        return "longer than the model's context" if len(rendered.prompt_ids) > limit else None

    return lambda rendered: each(rendered, skip_reason, rows)


def finish(run: RunDir, table: pa.Table) -> pa.Table:
    """Recomputes the values with the present `signal.angle_weight`, without a model."""
    intra, inter = (table[name].to_numpy() for name in ("c_intra", "c_inter"))
    values = combine(intra, inter, run.config.signal.angle_weight)
    return table.set_column(table.column_names.index("value"), "value", pa.array(values, from_pandas=True))


SIGNAL = Signal(
    name="angle",
    make=make,
    columns={"c_intra": pa.float64(), "c_inter": pa.float64()},
    answers=False,
    finish=finish,
)
