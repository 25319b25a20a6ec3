"""The input rows verbatim: what a trainer with its own templates and regular expressions reads."""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format


def rows(chosen: Chosen) -> Sequence[str]:
    return [prompt.source for prompt in chosen.prompts]


FORMAT = Format(rows=rows, templated=False)
