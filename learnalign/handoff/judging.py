"""The verifier in a trainer's own process: opened when it is first needed, as p was measured, and kept until that process ends."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from learnalign.verify import Item, Verdict, Verifier, open_verifier
from learnalign.verify.code import Limits


@functools.cache
def _opened(
    name: str, reasoning_tags: tuple[str, ...], sandbox: str | None, limits: tuple[tuple[str, float], ...]
) -> Verifier:
    numbers = {**asdict(Limits()), **dict(limits)}
    own = Limits(**{**numbers, "memory": int(numbers["memory"])})
    verifier = open_verifier(name, reasoning_tags=reasoning_tags, sandbox=sandbox, limits=own)
    atexit.register(verifier.close)
    return verifier


def verdicts(
    completions: Sequence[str],
    answers: Sequence[str],
    about: Sequence[Mapping[str, Any] | None],
    messages: Sequence[list[dict[str, Any]] | None] | None = None,
    sources: Sequence[dict[str, Any] | None] | None = None,
) -> list[Verdict]:
    """Judge completions by their golds; reward None is one that cannot be scored.

    `about` holds what `Chosen.judged_by` wrote into each row; without it, the verifier is math. `messages` and `sources` (the
    pool's rows) are for verifiers of your own.
    """
    own = [each or {} for each in about]
    items = [
        Item(text, gold, asked, source, opened=str(each.get("opened") or ""))
        for text, gold, asked, source, each in zip(
            completions, answers, messages or [None] * len(own), sources or [None] * len(own), own, strict=True
        )
    ]
    keys = [
        (
            str(each.get("verifier") or "math"),
            _tags(each.get("reasoning_tags")),
            each.get("sandbox"),
            tuple(sorted((each.get("limits") or {}).items())),
        )
        for each in own
    ]
    judged: dict[int, Verdict] = {}
    for opened in dict.fromkeys(keys):
        places = [i for i, key in enumerate(keys) if key == opened]
        judged |= zip(places, _opened(*opened).score([items[i] for i in places]), strict=True)
    return [judged[i] for i in range(len(items))]


def score(completion: str, answer: str, about: Mapping[str, Any] | None, source: dict[str, Any] | None = None) -> float:
    """The reward of one completion, for trainers that have no word for one that cannot be scored: it counts as wrong."""
    rows = [source] if source is not None else [dict(about or {})]
    return verdicts([completion], [answer], [about], sources=rows)[0].reward or 0.0


def _tags(value: Any) -> tuple[str, ...]:
    """A list, or the array that a loader made of it."""
    return () if value is None else tuple(map(str, value))


def text_of(completion: Any) -> str:
    """The text of a completion: itself, or the last of its messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"] or "")
