"""slime (read: 624b824, 2026-08-21): `prompt` (messages), `label` (the gold), `metadata` with your own columns.

--prompt-data FILE --input-key prompt --label-key label --apply-chat-template
"""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format, Row


def rows(chosen: Chosen) -> Sequence[Row]:
    return [
        {"prompt": prompt.messages, "label": prompt.answer, "metadata": extra}
        for prompt, extra in zip(chosen.prompts, chosen.extra(), strict=True)
    ]


FORMAT = Format(rows=rows, suffixes=(".jsonl", ".parquet"))
