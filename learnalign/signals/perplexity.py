"""Perplexity of the answer given the prompt (LearnAlign, Eq. 9): PPL = exp(−1/T Σ_t log π(y_t | ξ, y_<t))."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from learnalign.policy.parts import context_length
from learnalign.signals.likelihood import mean_nll
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Compute, Signal, SignalInputs, SignalRow, each, no_answer


def make(inputs: SignalInputs) -> Compute:
    """Perplexities under the policy; `tokens` is T."""
    model, batch_tokens = inputs.policy, inputs.config.signal.batch_tokens

    def rows(rendered: Sequence[RenderedPrompt]) -> list[SignalRow]:
        nlls = mean_nll(model, [(one.prompt_ids, one.answer_ids) for one in rendered], batch_tokens)
        return [
            {"value": float(np.exp(nll)), "tokens": len(one.answer_ids)}
            for nll, one in zip(nlls, rendered, strict=True)
        ]

    return lambda rendered: each(rendered, no_answer(context_length(model)), rows)


SIGNAL = Signal(name="perplexity", make=make, columns={"tokens": pa.int64()})
