"""Two prompts as they were scored, whose pool has columns with the names that trainers take for themselves."""

from __future__ import annotations

import json
from typing import Any

from learnalign.handoff import Chosen
from learnalign.prompts import Prompt

SYSTEM = "Box the answer."
OWN: list[dict[str, Any]] = [
    {"prompt": "1+1?", "answer": "1 and 1 are 2 #### 2", "solution": "count", "level": 3},
    {"prompt": "2+3?", "answer": "by hand #### 5", "solution": "count", "level": 4},
]


def messages(question: str, system: bool = True) -> list[dict[str, str]]:
    first = [{"role": "system", "content": SYSTEM}] if system else []
    return [*first, {"role": "user", "content": f"Solve: {question}"}]


def chosen(own: list[dict[str, Any]] = OWN, verifier: str = "math", system: bool = True, **more: Any) -> Chosen:
    golds = ("2", "5")
    prompts = [
        Prompt(f"id{i}", 10 + i, messages(row["prompt"], system), golds[i], None, json.dumps(row))
        for i, row in enumerate(own)
    ]
    return Chosen(prompts=prompts, verifier=verifier, **more)
