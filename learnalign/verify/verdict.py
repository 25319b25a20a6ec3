"""The input and output of a verifier: an item to judge, and its verdict."""

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
        opened: the tag of a reasoning that the prompt began, as some chat templates do.
    """

    completion: str
    answer: str
    messages: list[dict[str, Any]] | None = None
    source: dict[str, Any] | None = None
    opened: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """1.0 correct, 0.0 wrong, None unscorable (unusable gold, or verifier failed or out of time); and the reason."""

    reward: float | None
    reason: str


CORRECT = Verdict(1.0, "correct")
NO_ANSWER = Verdict(0.0, "no answer")


def shown(text: str, limit: int = 60) -> str:
    """Quote `text` on one line, cut to `limit` characters."""
    line = " ".join(text.split())
    return repr(line if len(line) <= limit else line[: limit - 1] + "…")


def different(text: str, answer: str) -> Verdict:
    """Return the verdict on a wrong answer `text`."""
    return Verdict(0.0, f"{shown(text)} is not {shown(answer)}")
