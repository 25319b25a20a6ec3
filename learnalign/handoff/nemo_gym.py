"""NeMo Gym (read: 07d6b0d, 2026-08-22): responses_create_params.input, what its math servers read, verifier_metadata.

The server math_with_judge reads `question` and `expected_answer`; servers of your own read `verifier_metadata`. NeMo-RL loads
the file as dataset_name=NemoGymDataset.
"""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format, Row
from learnalign.scored import beside


def rows(chosen: Chosen) -> Sequence[Row]:
    ours = [{"expected_answer": prompt.answer, **chosen.identity(prompt)} for prompt in chosen.prompts]
    extras = beside(ours, chosen.columns())
    return [
        {
            "responses_create_params": {"input": prompt.messages},
            "question": prompt.messages[-1]["content"],
            "expected_answer": prompt.answer,
            "verifier_metadata": extra,
        }
        for prompt, extra in zip(chosen.prompts, extras, strict=True)
    ]


FORMAT = Format(rows=rows)
