"""OpenRLHF (read and tried: 0.11.2): `input` (messages), `label` (the gold), your own columns.

--data.prompt_dataset FILE --data.input_key input --data.label_key label --data.apply_chat_template
"""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format, Row
from learnalign.scored import beside


def rows(chosen: Chosen) -> Sequence[Row]:
    ours = [
        {"input": prompt.messages, "label": prompt.answer, "datasource": source, **chosen.identity(prompt)}
        for prompt, source in zip(chosen.prompts, chosen.sources("learnalign"), strict=True)
    ]
    return beside(ours, chosen.columns())


FORMAT = Format(rows=rows, suffixes=(".jsonl", ".parquet"), uniform=True)
