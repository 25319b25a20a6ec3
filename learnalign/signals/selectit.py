"""SelectIT: how surely models rate an answer (Liu et al., 2024a; LearnAlign, App. B.2).

A model rates question and answer from 1 to K; q is the softmax over the K rating tokens' logits.
Token level: (argmax + 1) · Σ_j (q_max − q_j) / (K − 1). Sentence level: mean / (1 + α · std) of the token scores
under several rating prompts. Model level, the value: mean of the models' sentence scores, weighted by their numbers of
parameters; with the policy alone, the policy's sentence score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.config import ModelConfig
from learnalign.errors import InputError
from learnalign.policy import load_model, load_tokenizer, prompt_ids
from learnalign.policy.parts import context_length
from learnalign.signals.batches import in_batches
from learnalign.signals.likelihood import last_logits
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Compute, Signal, SignalInputs, SignalRow, each

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RATINGS = "12345"
ALPHA = 0.2  # weight of the disagreement between rating prompts, as in the SelectIT paper
ASK = "Reply with a single digit from 1 (worst) to 5 (best) and nothing else."
RATING_PROMPTS = (
    f"Rate how well the answer below responds to the question. {ASK}",
    f"You are a strict teacher. Grade the answer below for correctness and completeness. {ASK}",
    f"How useful would the following question and answer be for teaching someone to reason? {ASK}",
    f"Judge the quality of the question and of the reasoning in its answer. {ASK}",
    f"Assess whether the answer below is accurate, clear and to the point. {ASK}",
)


def token_scores(logits: Float[Tensor, "... K"]) -> Float[Tensor, "..."]:
    """Token-level score from the logits of the ratings 1..K."""
    q = logits.double().softmax(dim=-1)
    best, rating = q.max(dim=-1)
    return (rating + 1) * (best[..., None] - q).sum(-1) / (q.shape[-1] - 1)


def sentence_score(scores: Float[Tensor, "B prompts"]) -> Float[Tensor, "B"]:
    """Sentence-level score from the token scores under every rating prompt, with the population's std."""
    return scores.mean(dim=1) / (1 + ALPHA * scores.std(dim=1, correction=0))


class Rater:
    """A model with the token ids of its ratings."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_tokens: int) -> None:
        self.model, self.tokenizer, self.batch_tokens = model, tokenizer, batch_tokens
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        ids: list[int] = [tokenizer(digit, add_special_tokens=False)["input_ids"][-1] for digit in RATINGS]
        if len(set(ids)) < len(RATINGS):
            raise InputError(f"SelectIT needs a distinct token for every digit, which {tokenizer.name_or_path} lacks")
        self.rating_ids = torch.tensor(ids, device=model.device)

    def requests(self, rendered: RenderedPrompt) -> list[list[int]]:
        """Token ids of all rating prompts for one question and answer."""
        text = f"\n\nQuestion:\n{rendered.prompt.messages[-1]['content']}\n\nAnswer:\n{rendered.answer_text}"
        return [prompt_ids(self.tokenizer, [{"role": "user", "content": ask + text}]) for ask in RATING_PROMPTS]

    def token_scores(self, rendered: Sequence[RenderedPrompt]) -> Float[Tensor, "B prompts"]:
        """Token-level scores under every rating prompt."""
        requests = [request for one in rendered for request in self.requests(one)]
        scores = in_batches(requests, [len(request) for request in requests], self.batch_tokens, self._score)
        return torch.tensor(scores, dtype=torch.float64).view(len(rendered), len(RATING_PROMPTS))

    def _score(self, requests: list[list[int]]) -> list[float]:
        return token_scores(last_logits(self.model, requests)[:, self.rating_ids]).tolist()


def make(inputs: SignalInputs) -> Compute:
    """Ratings by the policy and by every model of `signal.selectit_models`."""
    batch_tokens = inputs.config.signal.batch_tokens
    raters = [Rater(inputs.policy, inputs.tokenizer, batch_tokens)]
    for name in inputs.config.signal.selectit_models:
        other = ModelConfig(name=name, dtype=inputs.config.model.dtype, attn=inputs.config.model.attn)
        config = inputs.config.model_copy(update={"model": other})
        raters.append(Rater(load_model(config), load_tokenizer(config, inputs.run.template_time), batch_tokens))
    weights = torch.tensor([rater.parameters for rater in raters], dtype=torch.float64)

    def skip_reason(rendered: RenderedPrompt) -> str | None:
        if not rendered.answer_ids:
            return "no answer"
        fits = all(
            len(request) <= context_length(rater.model) for rater in raters for request in rater.requests(rendered)
        )
        return None if fits else "longer than the model's context"

    def rows(rendered: Sequence[RenderedPrompt]) -> list[SignalRow]:
        if not rendered:
            return []
        tokens = [rater.token_scores(rendered) for rater in raters]
        sentences = torch.stack([sentence_score(scores) for scores in tokens], dim=1)
        values = sentences @ weights / weights.sum()
        columns: Any = (values.tolist(), tokens[0].tolist(), sentences.tolist())
        return [{"value": v, "token": t, "sentence": s} for v, t, s in zip(*columns, strict=True)]

    return lambda rendered: each(rendered, skip_reason, rows)


SIGNAL = Signal(
    name="selectit",
    make=make,
    columns={"token": pa.list_(pa.float64()), "sentence": pa.list_(pa.float64())},
    depends_on=lambda run: run.config.signal.selectit_models,
)
