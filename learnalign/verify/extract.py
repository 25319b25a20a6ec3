"""Finds where a completion states its answer: the last complete box, the last complete tag, after the last ####.

Each function is linear in the length of the completion: it runs in the parent, on text that a policy wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# The start of a box (its backslash may be doubled by some JSON), an escaped character (\{ prints a brace), or a brace.
_TOKEN = re.compile(r"\\{1,3}(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
# Text allowed between the boxes of one answer: \boxed{1} and \boxed{2}
_CONNECTOR = re.compile(
    r"(?:[\s$~]|\\[,;: ]|\\q?quad)*(?:\\text\s*\{\s*)?(?P<word>,|;|and|or|,\s*and|,\s*or|和|或|、)?(?:\s*\})?(?:[\s$~]|\\[,;: ]|\\q?quad)*"
    r"(?:x|y|[a-z]_?\d?)?\s*=?[\s$]*",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"(?i)(?:"
    r"(?P<supposed>\b(?:if|suppose|supposing|assume|assuming|whether)\b[^.\n]{0,20})?\banswers?\b|答案)"
    r"[*_\s]{0,6}(?:(?:is|are|was|would be|must be|equals|comes to|=|是|为|：|:)[*_\s]{0,6}){1,2}"
    r"(?:(?:therefore|thus|then|simply|just)\s+)?(?P<denied>not\s+|n['’]t\s+)?|####|"
    r"【答案】|答[:：]|答案选|正解は|Ответ\s*:|respuesta (?:final )?es|r[ée]ponse est|Antwort(?: ist|:)|"
    r"故(?:答案为|选)[：:]?|(?<![一-龥])选(?=\s*[A-H])"
)
_SENTENCE_END = re.compile(
    r"\n|。|(?<!i\.e)(?<!e\.g)(?<!\b[ap]\.m)(?<!\bRs)(?<!\\)[.?;](?=\s|\*|$|<)|(?<![\d)}\w])!(?=\s+[A-Z]|$)|<\|?/?[a-z_|]+\|?>|(?:,?\s(?:because|since|so))\s"
)
_TAKEN_BACK = re.compile(r"(?i)\b(?:actually|wait|correction|i made an? (?:error|mistake))\b")
_MOST_STATEMENTS, _LONGEST_STATEMENT = 4, 400
_HASHES = re.compile(r"####[ \t]*([^\n]*)")


@dataclass(frozen=True, slots=True)
class Boxes:
    """The complete boxes of a text, outermost only, in order, and whether one was left open."""

    contents: list[str]
    joined: str | None  # the last boxes, joined by commas, if only commas, "and" or white space separate them
    loose: bool  # whether some of them are separated only by white space: perhaps a corrected answer, not a list
    unterminated: bool


def find_boxes(text: str) -> Boxes:
    r"""Find every complete ``\boxed{…}`` (or ``\fbox{…}``) of `text`; if nested, the outermost."""
    spans: list[tuple[int, int, int]] = []  # start of the command, start and end of the content
    open_braces: list[tuple[int, int] | None] = []
    first = min((at for at in (text.find("\\boxed"), text.find("\\fbox")) if at >= 0), default=len(text))
    for token in _TOKEN.finditer(text, first):
        mark = token.group()
        if mark[-1] == "{" and mark != "\\{":
            open_braces.append((token.start(), token.end()) if len(mark) > 1 else None)
        elif mark == "}" and open_braces:
            box = open_braces.pop()
            if box is not None:
                while spans and spans[-1][0] > box[0]:
                    spans.pop()
                spans.append((*box, token.start()))
    contents = [text[start:end].strip(" \n\r\t") for _, start, end in spans]
    joined, loose = _joined(text, spans, contents)
    return Boxes(contents, joined, loose, any(box is not None for box in open_braces))


def _joined(text: str, spans: list[tuple[int, int, int]], contents: list[str]) -> tuple[str | None, bool]:
    first, loose = len(spans) - 1, False
    while first > 0:
        between = text[spans[first - 1][2] + 1 : spans[first][0]]
        if len(between) > 60 or not (connector := _CONNECTOR.fullmatch(between)):
            break
        loose = loose or not connector["word"]
        first -= 1
    boxes = list(dict.fromkeys(contents[first:]))
    return (", ".join(boxes), loose) if len(boxes) > 1 else (None, False)


def last_tag(text: str, tag: str = "answer") -> str | None:
    """Return the content of the last complete ``<tag>…</tag>``, or None."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.rfind(opening, 0, max(text.rfind(closing), 0))
    return text[start + len(opening) : text.find(closing, start)].strip() if start >= 0 else None


def stated_answers(text: str) -> list[str]:
    """Return what follows "the answer is", "Answer:", #### and the like, to the end of the sentence: the last four, last first."""
    statements = []
    for cue in reversed(list(_CUE.finditer(text))[-_MOST_STATEMENTS:]):
        rest = text[cue.end() : cue.end() + _LONGEST_STATEMENT].lstrip()
        end = _SENTENCE_END.search(rest)
        if (
            cue["supposed"]
            or (end and rest[end.start()] == "?")
            or _TAKEN_BACK.search(rest[end.end() :] if end else "")
        ):
            continue  # If the answer is 7, …; is it 7?; 7. Wait, no.
        statements.append(("not " if cue["denied"] else "") + (rest[: end.start()] if end else rest))
    return statements


def after_hashes(text: str) -> str | None:
    """Return what follows the last ``####`` on its line, the end of a GSM8K solution; None without one."""
    answers = _HASHES.findall(text)
    return answers[-1].strip() if answers else None
