"""open-instruct (read: e6c3044, 2026-08-20): messages, ground_truth, dataset = the name of its verifier.

Its tokenizer drops the last of two and more messages (older versions), or a last one of the assistant (newer ones). So a last
turn of the assistant, the gold, stands after the question, and the policy is asked all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format, Row

VERIFIERS = {"gsm8k": "gsm8k", "exact": "string_matcher"}  # else math


def rows(chosen: Chosen) -> Sequence[Row]:
    dataset = chosen.data_source or VERIFIERS.get(chosen.verifier, "math")
    return [
        {
            "messages": [*prompt.messages, {"role": "assistant", "content": prompt.answer}],
            "ground_truth": prompt.answer,
            "dataset": dataset,
            "metadata": extra,
        }
        for prompt, extra in zip(chosen.prompts, chosen.extra(), strict=True)
    ]


FORMAT = Format(rows=rows, suffixes=(".jsonl", ".parquet"), uniform=True)
