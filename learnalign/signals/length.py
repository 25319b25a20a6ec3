"""Token length of question and answer together (LearnAlign, App. B.2); the question as the chat template writes it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from learnalign.signals.rendered import Sample
from learnalign.signals.signal import Compute, Row, Signal, Worker, each


def make(worker: Worker) -> Compute:
    """Counts; no model is run."""

    def rows(samples: Sequence[Sample]) -> list[Row]:
        return [
            {
                "value": float(sample.length),
                "question": len(sample.prompt_ids),
                "answer": len(sample.answer_ids),
            }
            for sample in samples
        ]

    return lambda samples: each(samples, lambda sample: None if sample.answer_ids else "no answer", rows)


SIGNAL = Signal(
    name="length",
    make=make,
    columns={"question": pa.int64(), "answer": pa.int64()},
)
