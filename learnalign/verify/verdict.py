"""What a verifier is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """One completion to judge.

    Args:
        completion: the sampled text, without the prompt.
        answer: the prompt's gold answer.
        messages: the prompt as a message list; only users' functions see it.
        source: the pool's row; only users' functions see it.
    """

    completion: str
    answer: str
    messages: list[dict[str, Any]] | None = None
    source: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """1.0 correct, 0.0 wrong, None unscorable (unusable gold, or the verifier failed or ran out of time); and why."""

    reward: float | None
    reason: str


CORRECT = Verdict(1.0, "correct")
NO_ANSWER = Verdict(0.0, "no answer")


def shown(text: str, limit: int = 60) -> str:
    """`text` on one line, quoted and cut to `limit` characters, for reasons."""
    line = " ".join(text.split())
    return repr(line if len(line) <= limit else line[: limit - 1] + "…")


def different(text: str, answer: str) -> Verdict:
    """The verdict on an answer `text` that is not the gold `answer`."""
    return Verdict(0.0, f"{shown(text)} is not {shown(answer)}")
