"""Instruction-following difficulty (LearnAlign, Eq. 10): IFD = s(o|q) / s(o), mean NLLs of the answer with the prompt
and without it.

s(o) is taken over the answer alone. If the tokenizer begins a text with BOS, every token has a probability; if not, the
first token has none and is left out. The code published with IFD drops samples with IFD > 1, whose prompt does not help;
Eq. 10 does not, and neither does this.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from learnalign.policy.parts import context_length
from learnalign.signals.likelihood import mean_nll
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Compute, Signal, SignalInputs, SignalRow, each, no_answer


def make(inputs: SignalInputs) -> Compute:
    """Ratios of the mean NLL with the prompt (`conditioned`) to the one without it (`direct`)."""
    model, batch_tokens = inputs.policy, inputs.config.signal.batch_tokens
    start = beginning(inputs)
    no_likelihood = no_answer(context_length(model))

    def skip_reason(rendered: RenderedPrompt) -> str | None:
        alone = len(start) + len(rendered.answer_ids)
        return no_likelihood(rendered) or ("answer of a single token" if alone < 2 else None)

    def rows(rendered: Sequence[RenderedPrompt]) -> list[SignalRow]:
        conditioned = mean_nll(model, [(one.prompt_ids, one.answer_ids) for one in rendered], batch_tokens)
        texts = [[*start, *one.answer_ids] for one in rendered]
        direct = mean_nll(model, [(text[:1], text[1:]) for text in texts], batch_tokens)
        return [
            {"value": with_prompt / alone if alone else float("nan"), "conditioned": with_prompt, "direct": alone}
            for with_prompt, alone in zip(conditioned, direct, strict=True)
        ]

    return lambda rendered: each(rendered, skip_reason, rows)


def beginning(inputs: SignalInputs) -> list[int]:
    """The BOS token, if the tokenizer puts one before a text."""
    ids = inputs.tokenizer("1")["input_ids"]
    return [ids[0]] if ids and ids[0] == inputs.tokenizer.bos_token_id else []


SIGNAL = Signal(
    name="ifd",
    make=make,
    columns={"conditioned": pa.float64(), "direct": pa.float64()},
)
