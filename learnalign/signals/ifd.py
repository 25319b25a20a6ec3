"""Instruction-following difficulty (LearnAlign, Eq. 10): IFD = s(o|q) / s(o), mean NLLs of the answer with the prompt
and without it.

s(o) is taken over the text as the tokenizer writes it alone: where that begins with a BOS token, every token has a
probability; where it does not, the first token has none and is left out. The code published with IFD drops samples with
IFD > 1, whose prompt does not help; the paper's Eq. 10 does not, and neither does this.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from learnalign.signals.backbone import context_length
from learnalign.signals.likelihood import mean_nll
from learnalign.signals.rendered import Sample
from learnalign.signals.signal import Compute, Row, Signal, Worker, each, no_answer


def make(worker: Worker) -> Compute:
    """Ratios of the mean NLL with the prompt (`conditioned`) to that without it (`direct`)."""
    model, batch_tokens = worker.policy, worker.config.signal.batch_tokens
    start = beginning(worker)
    no_likelihood = no_answer(context_length(model))

    def why_not(sample: Sample) -> str | None:
        alone = len(start) + len(sample.answer_ids)
        return no_likelihood(sample) or ("answer of a single token" if alone < 2 else None)

    def rows(samples: Sequence[Sample]) -> list[Row]:
        conditioned = mean_nll(model, [(sample.prompt_ids, sample.answer_ids) for sample in samples], batch_tokens)
        texts = [[*start, *sample.answer_ids] for sample in samples]
        direct = mean_nll(model, [(text[:1], text[1:]) for text in texts], batch_tokens)
        return [
            {"value": with_prompt / alone if alone else float("nan"), "conditioned": with_prompt, "direct": alone}
            for with_prompt, alone in zip(conditioned, direct, strict=True)
        ]

    return lambda samples: each(samples, why_not, rows)


def beginning(worker: Worker) -> list[int]:
    """The BOS token, where the tokenizer puts one before a text."""
    ids = worker.tokenizer("1")["input_ids"]
    return [ids[0]] if ids and ids[0] == worker.tokenizer.bos_token_id else []


SIGNAL = Signal(
    name="ifd",
    make=make,
    columns={"conditioned": pa.float64(), "direct": pa.float64()},
)
