"""ROLL's RLVR pipeline (read: 8eb27cc, 2026-08-19): id, messages as a JSON text, ground_truth, tag, domain.

    actor_train.data_args.file_name: [FILE]     actor_train.data_args.template: native

Your own columns are a JSON text under `metadata`, since ROLL takes every column through its batches.
"""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format, Row
from learnalign.rundir.files import as_json


def rows(chosen: Chosen) -> Sequence[Row]:
    return [
        {
            "id": prompt.id,
            "messages": as_json(prompt.messages),
            "ground_truth": prompt.answer,
            "tag": source,
            "domain": "math_rule",
            "metadata": as_json(extra),
        }
        for prompt, source, extra in zip(chosen.prompts, chosen.sources("learnalign"), chosen.extra(), strict=True)
    ]


FORMAT = Format(rows=rows, suffixes=(".jsonl", ".parquet"))
