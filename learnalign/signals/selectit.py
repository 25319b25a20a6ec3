"""SelectIT: how sure models are when they rate an answer (Liu et al., 2024a; LearnAlign, App. B.2).

A model is asked to rate question and answer from 1 to K, and q is the softmax over the K rating tokens' logits.
Token level: (argmax + 1) · Σ_j (q_max − q_j) / (K − 1). Sentence level: mean / (1 + α · std) of the token scores
under several rating prompts. Model level, the value: the mean of the sentence scores of several models, weighted by
their parameters; with the policy alone it is the policy's sentence score.
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
from learnalign.signals.backbone import context_length
from learnalign.signals.batches import in_batches
from learnalign.signals.likelihood import last_logits
from learnalign.signals.rendered import Sample
from learnalign.signals.signal import Compute, Row, Signal, Worker, each

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
    """Token-level score of logits over the ratings 1..K."""
    q = logits.double().softmax(dim=-1)
    best, rating = q.max(dim=-1)
    return (rating + 1) * (best[..., None] - q).sum(-1) / (q.shape[-1] - 1)


def sentence_score(scores: Float[Tensor, "B prompts"]) -> Float[Tensor, "B"]:
    """Sentence-level score from the token scores under every rating prompt; the std is that of the population."""
    return scores.mean(dim=1) / (1 + ALPHA * scores.std(dim=1, correction=0))


class Rater:
    """A model that rates."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_tokens: int) -> None:
        self.model, self.tokenizer, self.batch_tokens = model, tokenizer, batch_tokens
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        ids: list[int] = [tokenizer(digit, add_special_tokens=False)["input_ids"][-1] for digit in RATINGS]
        if len(set(ids)) < len(RATINGS):
            raise InputError(f"SelectIT needs a token of its own for every digit, which {tokenizer.name_or_path} lacks")
        self.rating_ids = torch.tensor(ids, device=model.device)

    def requests(self, sample: Sample) -> list[list[int]]:
        """Token ids of all rating prompts about a sample."""
        text = f"\n\nQuestion:\n{sample.prompt.messages[-1]['content']}\n\nAnswer:\n{sample.answer_text}"
        return [prompt_ids(self.tokenizer, [{"role": "user", "content": ask + text}]) for ask in RATING_PROMPTS]

    def token_scores(self, samples: Sequence[Sample]) -> Float[Tensor, "B prompts"]:
        """Token-level scores under every rating prompt."""
        requests = [request for sample in samples for request in self.requests(sample)]
        scores = in_batches(requests, [len(request) for request in requests], self.batch_tokens, self._score)
        return torch.tensor(scores, dtype=torch.float64).view(len(samples), len(RATING_PROMPTS))

    def _score(self, requests: list[list[int]]) -> list[float]:
        return token_scores(last_logits(self.model, requests)[:, self.rating_ids]).tolist()


def make(worker: Worker) -> Compute:
    """Ratings by the policy and by every model of `signal.selectit_models`."""
    batch_tokens = worker.config.signal.batch_tokens
    raters = [Rater(worker.policy, worker.tokenizer, batch_tokens)]
    for name in worker.config.signal.selectit_models:
        other = ModelConfig(name=name, dtype=worker.config.model.dtype, attn=worker.config.model.attn)
        config = worker.config.model_copy(update={"model": other})
        raters.append(Rater(load_model(config), load_tokenizer(config), batch_tokens))
    weights = torch.tensor([rater.parameters for rater in raters], dtype=torch.float64)

    def why_not(sample: Sample) -> str | None:
        if not sample.answer_ids:
            return "no answer"
        longest = max(
            len(request) - context_length(rater.model) for rater in raters for request in rater.requests(sample)
        )
        return "longer than the model's context" if longest > 0 else None

    def rows(samples: Sequence[Sample]) -> list[Row]:
        if not samples:
            return []
        tokens = [rater.token_scores(samples) for rater in raters]
        sentences = torch.stack([sentence_score(scores) for scores in tokens], dim=1)
        values = sentences @ weights / weights.sum()
        columns: Any = (values.tolist(), tokens[0].tolist(), sentences.tolist())
        return [{"value": v, "token": t, "sentence": s} for v, t, s in zip(*columns, strict=True)]

    return lambda samples: each(samples, why_not, rows)


SIGNAL = Signal(
    name="selectit",
    make=make,
    columns={"token": pa.list_(pa.float64()), "sentence": pa.list_(pa.float64())},
    inputs=lambda run: run.config.signal.selectit_models,
)
