"""NeMo-RL's ResponseDataset with `messages` (read: 7ea279a, 2026-08-22), which it passes on as they are: question, then gold.

The system message goes beside it, as in `nemo_rl`: its math processor takes the first message for the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from learnalign.handoff import nemo_rl
from learnalign.handoff.format import Chosen, Row
from learnalign.handoff.nemo_rl import question


def rows(chosen: Chosen) -> Sequence[Row]:
    turns = [(("user", question(prompt, chosen)), ("assistant", prompt.answer)) for prompt in chosen.prompts]
    return [
        {"messages": [{"role": role, "content": content} for role, content in pair], "metadata": extra}
        for pair, extra in zip(turns, chosen.extra(), strict=True)
    ]


FORMAT = replace(nemo_rl.FORMAT, rows=rows)
