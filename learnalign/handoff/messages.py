"""The format of learnalign's own commands, which TRL and others also take: prompt and answer as they were scored."""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format, Row
from learnalign.scored import MARK, beside, mark


def scored_rows(chosen: Chosen, also: Sequence[str] = ()) -> list[Row]:
    """id, prompt (messages), answer and the user's columns; `also` are more names for the answer."""
    columns = chosen.columns()
    ours = [
        {"id": prompt.id, "prompt": prompt.messages, "answer": prompt.answer}
        | {name: prompt.answer for name in also}
        | {MARK: mark(prompt.row, chosen.judged_by(), own)}
        for prompt, own in zip(chosen.prompts, columns, strict=True)
    ]
    for row in (rows := beside(ours, columns)):
        row[MARK] = row.pop(MARK)  # to the end, since people read the file
    return rows


def rows(chosen: Chosen) -> Sequence[Row]:
    return scored_rows(chosen)


FORMAT = Format(rows=rows, suffixes=(".jsonl", ".parquet"), templated=False)
