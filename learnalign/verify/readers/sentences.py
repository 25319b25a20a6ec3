"""Words, choices and sentences."""

from __future__ import annotations

import re
from dataclasses import replace

import sympy

from learnalign.verify import prose
from learnalign.verify.forms import Choice, Form, Read, Value, Words, key, phrase
from learnalign.verify.notation import as_words, plain_number

_SYNONYMS = {
    word: meaning
    for meaning, words in {
        "\\emptyset": "no solution|no solutions|no real solution|no real solutions|empty set|the empty set|null set|无解",
        "\\mathbb{R}": "all real numbers|all reals|real numbers|the real numbers|all real|all real values|the set of real numbers"
        "|the set of all real numbers|全体实数|任意实数",
        "\\mathbb{Z}": "all integers|integers|the set of integers|the set of all integers",
        "\\infty": "infinity|positive infinity",
        "-\\infty": "negative infinity|minus infinity",
    }.items()
    for word in words.split("|")
}
_SAME_WORDS = {"dne": "does not exist", "not exist": "does not exist", "not defined": "undefined"}
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = dict(
    zip(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], range(20, 100, 10), strict=True)
)
_CHOICE = re.compile(
    r"(?:(?i:option|choice|answer)\s+)?\(\s*([A-H])\s*\)\s*[:.]?\s*(.*)|(?:(?i:option|choice|answer)\s+)?([A-H])\s*[).:]\s*(.*)"
    r"|(?i:option|choice|answer)\s+([A-H])()",
    re.DOTALL,
)


_NONE_OF = (
    "there is no solution",
    "there are no solutions",
    "there is no real",
    "there are no real",
    "it has no solution",
)
_OTHER_OPTION = re.compile(r"^(?:or|and|,|;|[A-H]\b)|\([A-H]\)|\b[B-H]\s*[).:]|\b(?:or|and)\s+[A-H]\b")
# What i.e. or an arrow leads to.
_CONCLUDED = re.compile(
    r".*(?:\bi\.\s?e\.\s*,?|\\(?:Rightarrow|Longrightarrow|implies|therefore)(?![A-Za-z])(?=.*\d))\s*", re.DOTALL
)
_SUBJECT = re.compile(
    r"(.+?)\s+(?:is|are)\s+(?:the\s+)?(?:correct|right|(?:correct |final )?answers?)", re.IGNORECASE | re.DOTALL
)
_PREDICATE = re.compile(r".*\b(?:is|are)\s+(?!no\b)([^\s.]+(?:\s[^\s.]+)?)", re.DOTALL)


def read_words(text: str, read: Read) -> Form | None:
    """Read an answer in words: a number word, a name, "no solution"."""
    words = as_words(text)
    if words is None:
        return None
    if words in _SYNONYMS:
        return read(_SYNONYMS[words])
    if words.startswith(_NONE_OF):
        return read("\\emptyset")
    if (number := number_word(words)) is not None:
        return Value(sympy.Integer(number), plain_number(str(number)), text=str(number))
    if len(words) == 1 or re.search(r"\b(?:and|or)\b", words) or (prose.words_of(text) == [] and not text.isupper()):
        return None  # a letter, or a product of letters
    if subject := _SUBJECT.fullmatch(text):
        return read(subject[1])  # Option A is correct.
    if predicate := _PREDICATE.fullmatch(text):
        return read(predicate[1])  # The statement is true.
    return None if prose.bounded(text) else Words(_SAME_WORDS.get(words, words), text=key(text.strip("()")))


def number_word(words: str) -> int | None:
    parts = words.replace("-", " ").split()
    if parts[:1] in (["negative"], ["minus"]) and (positive := number_word(" ".join(parts[1:]))) is not None:
        return -positive
    if len(parts) == 1 and parts[0] in _SMALL:
        return _SMALL.index(parts[0])
    if parts and parts[0] in _TENS and len(parts) <= 2:
        rest = number_word(parts[1]) if len(parts) == 2 else 0
        return _TENS[parts[0]] + rest if rest is not None and rest < 10 else None
    return None


def read_choice(text: str, read: Read) -> Form | None:
    """Read an option: (A) 12."""
    match = _CHOICE.fullmatch(text)
    if match is None:
        return None
    rest = (match[2] or match[4] or "").strip()
    if _OTHER_OPTION.search(rest):
        return None
    return Choice((match[1] or match[3] or match[5]).upper(), read(rest) if rest else None, text=key(text))


def read_bound(text: str, read: Read) -> Form | None:
    """Read a bound in words, at least 5; a denial or a range is a text of its own."""
    if not prose.is_prose(text):
        return None
    if prose.negated(text) or prose.is_range(text):
        return phrase(text)
    bounded = prose.bounded(text)
    return read(bounded) if bounded else None


def read_clauses(text: str, read: Read) -> Form | None:
    """Read a statement without the clauses that give its reason."""
    shorter = _CONCLUDED.sub("", text)
    shorter = prose.without_reasons(shorter).strip() if prose.is_prose(text) else shorter
    return read(shorter) if shorter and shorter != text else None


def read_sentence(text: str, read: Read) -> Form | None:
    """Read the one value of a sentence, with the words that change its meaning."""
    if not prose.is_prose(text):
        return None
    pieces, words = prose.split_sentence(text)
    counted = [word for word in words if number_word(word) is not None]
    if len(pieces) + len(counted) != 1 or prose.has_operators(text):
        return phrase(text)  # no value, or more than one
    piece = pieces[0] if pieces else counted[0]
    form = read(piece) if piece != text else None
    if not isinstance(form, Value | None):
        return form
    value = form or read(piece.split(" ")[0])
    if not isinstance(value, Value):
        return phrase(text)
    meant = tuple(dict.fromkeys(word for word in words if word not in counted))
    return replace(value, words=meant, text=key(text))


def read_text(text: str, read: Read) -> Form | None:
    """Read anything else as text."""
    return Words(key(text), text=key(text))
