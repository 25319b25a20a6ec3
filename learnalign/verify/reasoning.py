"""Cuts a completion's reasoning (<think>…</think> and the like): only what follows it can be an answer."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from learnalign.errors import InputError
from learnalign.names import tag_pair

_TAGS = (
    "think",
    "thinking",
    "thought",
    "reasoning",
    "[THINK] [/THINK]",
    "<|begin_of_thought|> <|end_of_thought|>",
)
_SOLUTION = re.compile(r"<\|(?:begin|end)_of_solution\|>", re.IGNORECASE)
# An answer with no other in it: a tag that stands in it without its partner is text that the answer quotes.
_ANSWER = re.compile(r"<answer>(?:(?!</?answer>).)*+</answer>|\[ANSWER\](?:(?!\[/?ANSWER\]).)*+\[/ANSWER\]", re.DOTALL)


class _Marks(NamedTuple):
    """All tags as one pattern, and of each opening one, in lower case, its closing one."""

    pattern: re.Pattern[str]
    closing: dict[str, str]


@lru_cache
def _marks(tags: tuple[str, ...]) -> _Marks:
    try:
        pairs = [tag_pair(tag) for tag in (*_TAGS, *tags)]
    except ValueError as error:
        raise InputError(f"reasoning tags: {error}") from None
    every = sorted({re.escape(mark) for pair in pairs for mark in pair}, key=len, reverse=True)
    pattern = re.compile("|".join(every), re.IGNORECASE | re.ASCII)
    return _Marks(pattern, {opening.lower(): closing.lower() for opening, closing in pairs})


def is_tag(text: str, tags: Sequence[str] = ()) -> bool:
    """Whether `text` is an opening or closing tag."""
    return _marks(tuple(tags)).pattern.fullmatch(text.strip()) is not None


def opened_by(prompt: str, tags: Sequence[str] = ()) -> str:
    """Return the opening tag at the end of a rendered `prompt`, which a completion goes on from; empty without one."""
    closing = _marks(tuple(tags)).closing
    end = prompt.rstrip().lower()
    return next((tag for tag in sorted(closing, key=len, reverse=True) if end.endswith(tag)), "")


def check_tags(tags: Sequence[str]) -> None:
    """Raise InputError if one of the `tags` is neither a name nor a pair."""
    _marks(tuple(tags))


def without_reasoning(text: str, tags: Sequence[str] = ()) -> str:
    """Return `text` without its reasoning, in time linear in its length; `text` itself if it has none.

    A closing tag without an opening one ends a reasoning that the chat template began. One that is not closed leaves
    nothing: a model that still reasons has not answered.

    Args:
        tags: further ones: a name (scratch: <scratch>…</scratch>), or opening and closing tag with a space between.
    """
    marks = _marks(tuple(tags))
    found = list(marks.pattern.finditer(text))
    if found:
        text = _cut(text, found, marks.closing)
    return _SOLUTION.sub("\n", text)


def _cut(text: str, found: list[re.Match[str]], closing: dict[str, str]) -> str:
    answers = [answer.span() for answer in _ANSWER.finditer(text)]
    ends = [end for _, end in answers]
    kept: list[str] = []
    at = 0
    for mark, partner in zip(found, _partners(found, closing), strict=True):
        start = mark.start()
        if start < at:
            continue
        index = bisect_left(ends, start + 1)
        answer_end = ends[index] if index < len(ends) and answers[index][0] < start else None
        opens = mark.group().lower() in closing
        if answer_end is not None and (not opens or partner is None or partner > answer_end):
            continue
        if not opens:
            kept, at = [], mark.end()
        elif partner is None:
            return ""
        else:
            kept.append(text[at:start])
            at = partner
    return "\n".join([*kept, text[at:]])


def _partners(found: list[re.Match[str]], closing: dict[str, str]) -> list[int | None]:
    """The end of the next tag that closes each one; None for a closing tag, and for one that nothing closes."""
    nearest: dict[str, int] = {}
    partners: list[int | None] = []
    for mark in reversed(found):
        tag = mark.group().lower()
        partners.append(nearest.get(closing.get(tag, "")))
        nearest[tag] = mark.end()
    return partners[::-1]
