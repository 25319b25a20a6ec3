"""Perplexity of the answer given the prompt (LearnAlign, Eq. 9): PPL = exp(−1/T Σ_t log π(y_t | ξ, y_<t))."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from learnalign.signals.backbone import context_length
from learnalign.signals.likelihood import mean_nll
from learnalign.signals.rendered import Sample
from learnalign.signals.signal import Compute, Row, Signal, Worker, each, no_answer


def make(worker: Worker) -> Compute:
    """Perplexities under the policy, with the T answer tokens they are means over."""
    model, batch_tokens = worker.policy, worker.config.signal.batch_tokens

    def rows(samples: Sequence[Sample]) -> list[Row]:
        found = mean_nll(model, [(sample.prompt_ids, sample.answer_ids) for sample in samples], batch_tokens)
        return [
            {"value": float(np.exp(nll)), "tokens": len(sample.answer_ids)}
            for nll, sample in zip(found, samples, strict=True)
        ]

    return lambda samples: each(samples, no_answer(context_length(model)), rows)


SIGNAL = Signal(name="perplexity", make=make, columns={"tokens": pa.int64()})
