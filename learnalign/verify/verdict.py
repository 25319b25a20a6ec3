"""The input and output of a verifier: an item to judge, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """1.0 correct, 0.0 wrong, None unscorable (unusable gold, or verifier failed or out of time); and the reason.

    `answer` is the text that was read from the completion as its answer, the first `LONGEST_ANSWER` characters; None if
    there is none, or if a user's function judged. `share_passed` is the share of a program's tests that it passes, in
    [0, 1]; None if no program was judged. Verdicts are compared without both.
    """

    reward: float | None
    reason: str
    answer: str | None = field(default=None, compare=False)
    share_passed: float | None = field(default=None, compare=False)


LONGEST_ANSWER = 1_000
CORRECT = Verdict(1.0, "correct")
NO_ANSWER = Verdict(0.0, "no answer")


def shown(text: str, limit: int = 60) -> str:
    """Quote `text` on one line, cut to `limit` characters."""
    line = " ".join(text.split())
    return repr(line if len(line) <= limit else line[: limit - 1] + "…")


def correct(text: str) -> Verdict:
    """Return the verdict on a correct answer `text`."""
    return Verdict(1.0, CORRECT.reason, text[:LONGEST_ANSWER])


def wrong(text: str, reason: str) -> Verdict:
    """Return the verdict on a wrong answer `text`."""
    return Verdict(0.0, reason, text[:LONGEST_ANSWER])


def different(text: str, answer: str) -> Verdict:
    """Return the verdict on an answer `text` that is not the gold `answer`."""
    return wrong(text, f"{shown(text)} is not {shown(answer)}")
