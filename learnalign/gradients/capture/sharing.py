"""Completions that share a row with their prompt, so that the prompt is computed once for all of them.

The row is then a tree: every completion sees the prompt and itself, and its positions continue from the prompt's end. The gradient
stays the same, that of the sum. Sharing pays if prompts are long against completions, since attention under a mask is slower.
Letters: B rows, T positions.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from learnalign.gradients.grpo import Sample
from learnalign.policy.parts import base_of, blocks_of, body_of, head_of, last_hidden

MASKED = 1.5  # time of an attention score under a mask, relative to one in a causal kernel
ROUNDING = {4: 1e-4, 8: 1e-4, 2: 0.05}  # largest relative rounding error of deep models, by bytes of an entry


def tree_inputs(
    branches: Int[Tensor, "B T"], dtype: torch.dtype
) -> tuple[Int[Tensor, "B T"], Float[Tensor, "B 1 T T"]]:
    """Position ids and the additive attention mask of rows whose tokens belong to `branches` (0: the prompt)."""
    order = torch.arange(branches.shape[1], device=branches.device)
    prompt = (branches == 0).sum(1, keepdim=True)
    starts = torch.zeros_like(branches)
    starts[:, 1:] = torch.where(branches[:, 1:] != branches[:, :-1], order[1:], 0)
    within = order - starts.cummax(1).values
    position_ids = torch.where(branches == 0, order, prompt + within).masked_fill_(branches < 0, 0)
    same = branches.unsqueeze(2) == branches.unsqueeze(1)
    seen = (same | (branches == 0).unsqueeze(1)) & (order[:, None] >= order)
    mask = torch.zeros(seen.shape, dtype=dtype, device=branches.device).masked_fill_(~seen, torch.finfo(dtype).min)
    return position_ids, mask.unsqueeze(1)


def can_share(model: nn.Module) -> bool:
    """Whether every layer of `model` follows masks and repeated positions; a small tree is the test."""
    base: Any = base_of(model)
    text = base.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    window = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    if kinds != {"full_attention"} or window or text._attn_implementation not in ("sdpa", "eager"):
        return False
    # A model without sdpa may cut its mask by columns (GPT-Neo's windows); one without position ids counts positions itself.
    if not base._supports_sdpa or "position_ids" not in inspect.signature(body_of(model).forward).parameters:
        return False
    device, dtype = head_of(model).weight.device, head_of(model).weight.dtype
    first, second = [3, 4] * 10, [5, 6]
    tree = torch.tensor([[1, 2, *first, *second]])
    branches = torch.tensor([[0, 0, *[1 for _ in first], 2, 2]])
    with torch.no_grad():
        expected = last_hidden(model, torch.tensor([[1, 2, *second]]).to(device))[0, 2:]
        try:
            together = last_hidden(model, tree.to(device), *tree_inputs(branches.to(device), dtype))[0, -2:]
        except (TypeError, ValueError, IndexError, RuntimeError):  # the model does not accept such masks
            return False
    return bool((together - expected).float().norm() < ROUNDING[dtype.itemsize] * expected.float().norm())


class Sharing:
    """Decides how many completions share a row, by the cost of the policy's layers and of its attention."""

    def __init__(self, policy: nn.Module, reference: nn.Module | None = None) -> None:
        self._policy, self._reference = policy, reference

    @functools.cached_property
    def possible(self) -> bool:
        """Whether the models can; tried when the first sample with several completions comes."""
        return can_share(self._policy) and (self._reference is None or can_share(self._reference))

    @functools.cached_property
    def _costs(self) -> tuple[float, float]:
        """FLOPs of a layer's forward pass: of a token, and of an attention score."""
        base: Any = base_of(self._policy)
        text, blocks = base.config.get_text_config(), blocks_of(self._policy)[1]
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        linear = 2 * sum(p.numel() for p in blocks.parameters() if p.ndim > 1) / len(blocks)
        return linear, 4.0 * head * text.num_attention_heads

    def together(self, sample: Sample, room: int) -> int:
        """The cheapest number of completions to a row, in rows of at most `room` tokens; 1 if sharing is not possible."""
        if len(sample.rollouts) < 2 or not self.possible:
            return 1
        return min(self._fitting(sample, room), key=lambda size: self.cost(sample, size))

    def _fitting(self, sample: Sample, room: int) -> range:
        lengths = sorted((len(one.token_ids) - 1 for one in sample.rollouts), reverse=True)
        fitting = [size for size in range(1, len(lengths) + 1) if len(sample.prompt_ids) + sum(lengths[:size]) <= room]
        return range(1, max(fitting, default=1) + 1)

    def cost(self, sample: Sample, size: int) -> float:
        """FLOPs of a layer's forward pass, `size` completions to a row."""
        lengths = sorted((len(one.token_ids) - 1 for one in sample.rollouts if len(one.token_ids)), reverse=True)
        total = 0.0
        for start in range(0, len(lengths), size):
            tokens = len(sample.prompt_ids) + sum(lengths[start : start + size])
            total += self.row_cost(tokens, masked=size > 1)
        return total

    def row_cost(self, tokens: int, masked: bool = True) -> float:
        """FLOPs of a layer's forward pass of one row, its attention under a mask or causal."""
        linear, score = self._costs
        return tokens * linear + tokens**2 * (MASKED if masked else 0.5) * score
