"""Token length of question and answer together (LearnAlign, App. B.2), the question rendered by the chat template."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Compute, Signal, SignalInputs, SignalRow, each


def make(inputs: SignalInputs) -> Compute:
    """Counts tokens; runs no model."""

    def rows(rendered: Sequence[RenderedPrompt]) -> list[SignalRow]:
        return [
            {"value": float(one.length), "question": len(one.prompt_ids), "answer": len(one.answer_ids)}
            for one in rendered
        ]

    return lambda rendered: each(rendered, lambda one: None if one.answer_ids else "no answer", rows)


SIGNAL = Signal(
    name="length",
    make=make,
    model=False,
    columns={"question": pa.int64(), "answer": pa.int64()},
)
