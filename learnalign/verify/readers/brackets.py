"""Brackets: sets, tuples, intervals and their unions, matrices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sympy

from learnalign.verify.forms import Bracket, Form, Listing, Matrix, Read, RealSet, Value, key

_POINT = re.compile(r"^[A-Z]'?\s*(?=\(.*,.*\)$)", re.DOTALL)  # P(1, 2)
_MATRIX = re.compile(r"\(?\s*\\begin\s*\{([pbB]?matrix|array)\}\s*(?:\{[^}]*\})?(.*)\\end\s*\{\1\}\s*\)?", re.DOTALL)


def read_union(text: str, read: Read) -> Form | None:
    """Read a union, intersection or difference of sets."""
    marks = [match.group() for match in split_marks(text, r"\\(?:cup|cap|setminus|backslash)(?![A-Za-z])")]
    if not marks:
        return None
    parts = [as_set(read(part)) for part in split(text, r"\\(?:cup|cap|setminus|backslash)(?![A-Za-z])")]
    if any(part is None for part in parts):
        return None
    values = parts[0]
    for mark, part in zip(marks, parts[1:], strict=True):
        values = {"\\cup": sympy.Union, "\\cap": sympy.Intersection}.get(mark, sympy.Complement)(values, part)
    return RealSet(values, text=key(text))


def as_set(form: Form | None) -> Any:
    """The set of numbers that `form` means: an interval, a list in braces; None for any other."""
    if isinstance(form, RealSet):
        return form.values
    if isinstance(form, Listing) and all(isinstance(item, Value) for item in form.items):
        return sympy.FiniteSet(*(item.value for item in form.items if isinstance(item, Value)))
    if isinstance(form, Bracket) and len(form.items) == 2 and all(isinstance(item, Value) for item in form.items):
        low, high = (item.value for item in form.items if isinstance(item, Value))
        if low.is_extended_real and high.is_extended_real and (low < high) == True:  # noqa: E712 (sympy's truth)
            return sympy.Interval(low, high, form.brackets[0] == "(", form.brackets[1] == ")")
    return None


def read_bracketed(text: str, read: Read) -> Form | None:
    """Read a set, tuple, interval or matrix in brackets."""
    text = _POINT.sub("", text)
    braces = text.startswith("\\{") and text.endswith("\\}")
    inside = text[2:-2] if braces else text[1:-1]
    if not braces and not (text[0] in "([" and text[-1] in ")]"):
        return None
    if not _closes_last(text):
        return None
    parts = split(inside, ",|;")
    forms = [read(part) for part in parts if part.strip()]
    if any(form is None for form in forms) or not forms:
        return None
    items = tuple(form for form in forms if form is not None)
    if braces:
        return Listing(items, braces=True, text=key(text))
    if len(items) == 1:
        return None if text[0] == "(" else items[0]
    if text[0] == "[" and all(isinstance(item, Bracket) for item in items):
        return Matrix(tuple(item.items for item in items if isinstance(item, Bracket)), text=key(text))
    return Bracket(text[0] + text[-1], items, text=key(text))


def _closes_last(text: str) -> bool:
    """Whether the bracket that opens `text` is closed only by its last character."""
    depth = 0
    for match in re.finditer(r"\\[{}]|[()\[\]{}]", text):
        depth += 1 if match.group()[-1] in "([{" else -1
        if depth == 0:
            return match.end() == len(text)
    return False


def read_matrix(text: str, read: Read) -> Form | None:
    """Read a LaTeX matrix."""
    match = _MATRIX.fullmatch(text)
    if match is None:
        return None
    rows = [[read(cell) for cell in row.split("&")] for row in match[2].split("\\\\") if row.strip()]
    if not rows or any(cell is None for row in rows for cell in row):
        return None
    return Matrix(tuple(tuple(cell for cell in row if cell is not None) for row in rows), text=key(text))


def split_marks(text: str, pattern: str) -> Iterator[re.Match[str]]:
    """The matches of `pattern` in `text` outside of all brackets."""
    depth = 0
    for match in re.finditer(
        rf"(?P<open>\\\{{|[(\[{{])|(?P<close>\\\}}|[)\]}}])|(?P<env>\\(?:begin|end)(?=\s*\{{))|(?:{pattern})", text
    ):
        if match["env"]:
            depth += 1 if "begin" in match["env"] else -1
        elif match["open"] or match["close"]:
            depth += 1 if match["open"] else -1
        elif depth <= 0:
            yield match


def split(text: str, pattern: str) -> list[str]:
    """Split `text` at `pattern` outside of all brackets."""
    parts, end = [], 0
    for match in split_marks(text, pattern):
        parts.append(text[end : match.start()])
        end = match.end()
    return [*parts, text[end:]]
