"""`data.preset`: which columns hold what in pools that many know, and how their golds are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BOXED = r"(?s).*\\boxed\{((?:[^{}]|\{(?1)\})*+)\}"  # what is inside the last \boxed{…}, inner braces included
HASHES = r"####\s*(.+?)\s*$"

# The columns that every preset sets, so that none is left from another.
_COLUMNS: dict[str, Any] = {
    "prompt": "prompt",
    "prompt_template": None,
    "prompt_regex": None,
    "answer": "answer",
    "answer_regex": None,
    "solution": None,
}


@dataclass(frozen=True)
class Preset:
    """A shape of rows in one line, the keys of `data` that it sets, and the verifier."""

    about: str
    data: dict[str, Any] = field(default_factory=dict)
    verifier: str = "math"

    @property
    def columns(self) -> dict[str, Any]:
        """The keys of `data` without a source."""
        return _COLUMNS | {key: value for key, value in self.data.items() if key not in ("path", "name")}


PRESETS: dict[str, Preset] = {
    "gsm8k": Preset(
        "GSM8K: question, and answer with the gold after ####",
        {
            "path": "openai/gsm8k",
            "name": "main",
            "prompt": "question",
            "answer": "answer",
            "answer_regex": HASHES,
            "solution": "answer",
        },
    ),
    "math": Preset(
        "MATH: problem, and solution with the gold in its last box",
        {
            "path": "DigitalLearningGmbH/MATH-lighteval",
            "prompt": "problem",
            "answer": "solution",
            "answer_regex": BOXED,
            "solution": "solution",
        },
    ),
    "dapo": Preset(
        "DAPO-Math-17k: messages with a template around the question, which is cut off; the gold in reward_model",
        {
            "path": "BytedTsinghua-SIA/DAPO-Math-17k",
            "prompt": "prompt",
            "prompt_regex": r"(?s)^Solve the following math problem.*?\n\n(.*)\n\nRemember to put your answer on its own line",
            "answer": "reward_model.ground_truth",
            "system_prompt": r"Let's think step by step and output the final answer within \boxed{ }.",
        },
        "boxed",
    ),
    "deepscaler": Preset(
        "DeepScaleR: problem, answer and solution",
        {
            "path": "agentica-org/DeepScaleR-Preview-Dataset",
            "prompt": "problem",
            "answer": "answer",
            "solution": "solution",
        },
    ),
    "numinamath": Preset(
        "NuminaMath-CoT: problem, and solution with the gold in its last box",
        {
            "path": "AI-MO/NuminaMath-CoT",
            "prompt": "problem",
            "answer": "solution",
            "answer_regex": BOXED,
            "solution": "solution",
        },
    ),
    "open-r1": Preset(
        "OpenR1-Math-220k: problem, answer and solution",
        {"path": "open-r1/OpenR1-Math-220k", "prompt": "problem", "answer": "answer", "solution": "solution"},
    ),
    "verl": Preset(
        "verl's rows: prompt as messages, the gold in reward_model",
        {"prompt": "prompt", "answer": "reward_model.ground_truth"},
    ),
    "openrlhf": Preset("OpenRLHF's rows: input and label", {"prompt": "input", "answer": "label"}),
}
