"""Angle concentration of a step's prompts under the model in training (GAIN-RL, Eq. 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from learnalign.config import SignalConfig
from learnalign.policy import prompt_ids
from learnalign.prompts import Prompt
from learnalign.signals.angle import angle_concentration
from learnalign.signals.batches import in_batches
from learnalign.signals.concentration import combine
from learnalign.signals.segments import prefix_length


class Angles:
    """Measures C = C_intra + c·C_inter of rows of `prompts` by a prefill in evaluation mode; `measure` of `Gain`."""

    def __init__(self, prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase, settings: SignalConfig) -> None:
        self.settings = settings
        self.inputs = [
            (prompt_ids(tokenizer, prompt.messages), prefix_length(tokenizer, prompt.messages)) for prompt in prompts
        ]

    def __call__(self, rows: Sequence[int], model: Any) -> list[float]:
        """C of each of `rows`; `model` may be a PEFT model and keeps its mode."""
        inputs = [self.inputs[row] for row in rows]

        def batch(part: list[tuple[list[int], int]]) -> list[float]:
            intra, inter = angle_concentration(model, [ids for ids, _ in part], [length for _, length in part])
            return combine(intra, inter, self.settings.angle_weight).tolist()

        training = model.training
        model.eval()
        try:
            return in_batches(inputs, [len(ids) for ids, _ in inputs], self.settings.batch_tokens, batch)
        finally:
            model.train(training)
