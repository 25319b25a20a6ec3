"""slime (read: 624b824, 2026-08-21): `prompt` (messages), `label` (the gold), `metadata` with your own columns.

--prompt-data FILE --input-key prompt --label-key label --apply-chat-template \
        --custom-rm-path learnalign.handoff.slime.reward
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from typing import Any

from learnalign.handoff.format import Chosen, Format, Row
from learnalign.handoff.judging import score
from learnalign.rundir.files import as_json


def rows(chosen: Chosen) -> Sequence[Row]:
    return [
        {"prompt": prompt.messages, "label": prompt.answer, "metadata": extra}
        for prompt, extra in zip(chosen.prompts, chosen.extra(), strict=True)
    ]


FORMAT = Format(
    rows=rows,
    suffixes=(".jsonl", ".parquet"),
    template=lambda settings: f"--apply-chat-template-kwargs {shlex.quote(as_json(dict(settings)))}",
)


async def reward(args: Any, sample: Any, **_: Any) -> float:
    """For `--custom-rm-path learnalign.handoff.slime.reward`: judges by the verifier that the row names, as p was measured.

    A completion that cannot be scored counts as wrong.
    """
    return await asyncio.to_thread(score, sample.response, sample.label, sample.metadata)
