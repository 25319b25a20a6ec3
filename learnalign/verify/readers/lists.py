"""Several answers: lists, alternatives, assignments, ±."""

from __future__ import annotations

import re

import sympy

from learnalign.verify import prose
from learnalign.verify.forms import Assignments, Equation, Form, Listing, Read, RealSet, Words, key, phrase
from learnalign.verify.readers.brackets import split
from learnalign.verify.readers.relations import SIGN

_CIRCLED = re.compile(r"[①-⑳](?:[\s,]*[①-⑳])+")
_QUOTED = re.compile(r"\[\s*([\"']).*\1\s*\]", re.DOTALL)
_OR = r"\s*,?\s*(?:\bor\b|或者?)\s*"
_AND = r"\s*(?:[,;、]\s*(?:\band\b\s*)?|\band\b|和)\s*"


def read_quoted(text: str, read: Read) -> Form | None:
    """Read a JSON or Python list of texts, ["3", "5"], or of circled numbers, ①③."""
    if _CIRCLED.fullmatch(text):
        return Listing(tuple(Words(mark, text=mark) for mark in re.sub(r"[\s,]", "", text)), text=key(text))
    if not _QUOTED.fullmatch(text):
        return None
    items = [read(item.strip().strip("\"'")) for item in split(text.strip()[1:-1], ",")]
    return listing(items, text)


def read_logical(text: str, read: Read) -> Form | None:
    """Relations joined by signs of logic are read like those joined by words; p ∨ q is a formula."""
    words = re.sub(r"\\(?:lor|vee)(?![A-Za-z])", " or ", re.sub(r"\\(?:land|wedge)(?![A-Za-z])", " and ", text))
    return read(words) if words != text and re.search(SIGN, text) else None


def read_alternatives(text: str, read: Read) -> Form | None:
    """Read what "or" joins: several values, or a union of sets."""
    parts = split(text, _OR)
    if len(parts) < 2:
        return None
    forms = [read(part) for part in parts]
    if all(isinstance(form, RealSet) for form in forms):
        return RealSet(sympy.Union(*(form.values for form in forms if isinstance(form, RealSet))), text=key(text))
    return listing(forms, text, merge=True)


def read_listed(whole: str, read: Read) -> Form | None:
    """Read what commas, semicolons or "and" join: a list, assignments, conditions that hold together."""
    text, parts = whole, split(whole, _AND)
    while len(parts) > 1 and prose.is_prose(parts[0]) and prose.split_sentence(parts[0]) == ([], ()):
        text = ",".join(parts := parts[1:])  # "Therefore, …"
    while (
        len(parts) > 1
        and prose.is_clause(parts[-1])
        and (not prose.count_values(parts[-1]) or prose.negated(parts[-1]))
    ):
        text = ",".join(parts := parts[:-1])  # "Yes, it is."
    if len(parts) == 1:
        return read(text) if text != whole else None
    if prose.count_values(text) == 1 or any(map(prose.is_clause, parts[1:])):
        return None
    forms = [read(part) for part in parts if part.strip()]
    sets = [form for form in forms if isinstance(form, RealSet)]
    if sets and len(sets) == len(forms):
        both = sympy.Intersection(*(form.values for form in sets))
        # A comma may mean "or": x < 2, x > 7; "and" may not.
        apart = both == sympy.EmptySet and not re.search(r"\band\b", text)
        return RealSet(sympy.Union(*(form.values for form in sets)) if apart else both, text=key(text))
    return listing(forms, text)


def listing(forms: list[Form | None], text: str, merge: bool = False) -> Form | None:
    """Put the items together: one, a list, or assignments if each names another variable."""
    items = [form for form in forms if form is not None]
    if len(items) < len(forms) or not items:
        return phrase(text) if prose.is_prose(text) else None
    equations = [item for item in items if isinstance(item, Equation) and item.named and item.value is not None]
    names = {item.text.partition("=")[0] for item in equations}
    if len(equations) == len(items) and len(names) == len(items) > 1:
        return Assignments(tuple((e.text.partition("=")[0], e.value) for e in equations if e.value), text=key(text))
    if equations and (len(names) == 1 or isinstance(items[0], Equation)):
        items = [item.value if isinstance(item, Equation) and item.value is not None else item for item in items]
    if merge:
        distinct = {item.text: item for item in items}
        items = list(distinct.values())
    return items[0] if len(items) == 1 else Listing(tuple(items), alternatives=merge or bool(equations), text=key(text))


def read_plus_minus(text: str, read: Read) -> Form | None:
    """Read ± as two values."""
    if not re.search(r"\\(?:pm|mp)(?![a-z])", text):
        return None
    upper = re.sub(r"\\mp(?![a-z])", "-", re.sub(r"\\pm(?![a-z])", "+", text))
    lower = re.sub(r"\\mp(?![a-z])", "+", re.sub(r"\\pm(?![a-z])", "-", text))
    return listing([read(upper), read(lower)], text)
