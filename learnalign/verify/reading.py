"""Reads one answer, gold or sampled, into its form (see `forms`): `readers` has one reader for each.

Runs in worker processes only: parsing a policy's text can hang or eat memory.
"""

from __future__ import annotations

import re

from learnalign.verify import prose
from learnalign.verify.extract import after_hashes, find_boxes, stated_answers
from learnalign.verify.forms import Form, Listing, Words
from learnalign.verify.notation import clean
from learnalign.verify.readers import READERS

LONGEST_ANSWER = 4_000  # characters of one answer; the longest of MATH-500 has 159
_TAIL = 4_000  # characters searched for an answer at the end of a completion without a box
_LONGEST_PHRASE = 8  # words of a gold answer that is compared as words
_UNREADABLE = (
    "the gold answer cannot be read as mathematics or one short answer; to compare it as text, use the verifier `exact`"
)
_UNUSABLE = re.compile(
    r"nan|null|none|n/?a|<na>|\?+|-+|tbd|todo|unknown|proof\.?|(?:see )?(?:the )?(?:proof|solution|explanation|above|below)\b.*|mcq|"
    r"not ?found|no answer|omitted|open[- ]ended|answers? (?:may|will|can) vary.*|prove.*|q\.?e\.?d\.?|error|multiple choice",
    re.IGNORECASE,
)
_UNDEFINED = re.compile(r"\\frac\s*\{[^{}]*\}\s*\{\s*0?\s*\}|/\s*0(?![\d.])")


def read(text: str) -> Form | None:
    """Read an answer's text; None if there is nothing in it that can be read."""
    return _read(clean(text)) if len(text) <= LONGEST_ANSWER else None


def _read(text: str) -> Form | None:
    text = text.strip()
    if not text:
        return None
    for reader in READERS:
        if (form := reader(text, _read)) is not None:
            return form
    return None


def read_gold(answer: str) -> Form | str:
    """Read a gold answer (a number, LaTeX with or without delimiters, boxed, after ####), or return why not."""
    text = answer.strip()
    if not text:
        return "the gold answer is empty"
    if _UNUSABLE.fullmatch(text.strip("\"'.()[]")) or _UNUSABLE.fullmatch(text):
        return f"the gold answer {text[:40]!r} is no answer; leave the row out, or compare it as text with the verifier `exact`"
    boxes = find_boxes(text)
    if boxes.contents:
        text = boxes.joined or boxes.contents[-1]
    elif boxes.unterminated:
        return "the gold answer has a box that is not closed"
    elif (stated := after_hashes(text)) is not None:
        text = stated
    if len(text) > LONGEST_ANSWER:
        return f"the gold answer is longer than {LONGEST_ANSWER} characters"
    form = read(text)
    parts = form.items if isinstance(form, Listing) else (form,)
    if any(part is None or (isinstance(part, Words) and not _usable(part, clean(text))) for part in parts):
        return _UNREADABLE
    return form or _UNREADABLE


def _usable(form: Words, text: str) -> bool:
    words = prose.words_of(text)
    if words:
        return (
            len(words) <= _LONGEST_PHRASE
            and not re.search(r"[.;!?]\s|\d\.\s*[A-Z]", text)
            and len(form.words.split()) <= 12
        )
    return bool(re.search(r"\w", text)) and not _UNDEFINED.search(text) and _balanced(text)


def _balanced(text: str) -> bool:
    depth = 0
    for mark in re.sub(r"\\[{}]", "", text):
        depth += (mark == "{") - (mark == "}")
        if depth < 0:
            return False
    return depth == 0


def read_completion(text: str) -> list[Form]:
    """Read a completion without a box: its stated answer, else what its last sentences state."""
    for stated in stated_answers(text):
        if (form := read(stated)) is not None:
            return [form]
    sentences = [
        part for part in re.split(r"\n|(?<=[.!?。])\s+(?=[A-Z\d$\\*])", text[-_TAIL:]) if re.search(r"\w", part)
    ]
    for sentence in reversed(sentences[-3:]):
        if (form := _concluded(clean(sentence), only=len(sentences) == 1)) is not None:
            return [form]
    return []


def _concluded(text: str, only: bool) -> Form | None:
    """Read the last value of a sentence: behind its last =, else what it states, else its last number."""
    if not prose.is_prose(text):
        return _read(text)
    if "=" in (text := prose.without_reasons(text)) and not prose.negated(text):
        tail = text.rpartition("=")[2]
        pieces, _ = prose.split_sentence(tail)
        if pieces and (form := _read(pieces[0] if prose.is_prose(tail) else tail)) is not None:
            return form
    form = _read(text)
    if isinstance(form, Words) and not prose.negated(text):
        pieces, _ = prose.split_sentence(text)
        return _read(pieces[-1]) if pieces else (form if only else None)
    return form
