"""The program in a completion: its last fenced block, and the language that the fence names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LANGUAGES = {
    **dict.fromkeys(("python", "py", "python3", "python2", "pypy", "pypy3", "py3"), "python"),
    **dict.fromkeys(("cpp", "c++", "cc", "cxx", "c++17", "c++20", "cpp17", "cpp20"), "cpp"),
}
# Possessive, so that it takes time linear in the text, whatever a completion holds.
_FENCE = re.compile(r"^[ \t]{0,12}+(?P<fence>`{3,}+|~{3,}+)[ \t]*+(?P<tag>[^\s`]*+)[^`\n]*+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    """A program's text and its language, `python` or `cpp`."""

    text: str
    language: str


def find_program(completion: str, language: str) -> Program | str:
    """Return the last program of a completion, or why there is none.

    A block whose fence names Python or C++ goes before one without a name, which is in the row's `language`; blocks of
    other names (text, bash, output) are no programs. A fence that is not closed is no answer.
    """
    blocks, open_tag = _blocks(completion)
    if open_tag is not None and (open_tag in _LANGUAGES or not open_tag):
        return "the program's fence is not closed"
    named = [(tag, text) for tag, text in blocks if tag in _LANGUAGES]
    unnamed = [(tag, text) for tag, text in blocks if not tag]
    for tag, text in reversed(named or unnamed):
        return Program(text, _LANGUAGES.get(tag, language)) if text.strip() else "the program is empty"
    others = sorted({tag for tag, _ in blocks})
    return f"no program: its fences name {', '.join(others)[:80]}" if others else "no program"


def _blocks(completion: str) -> tuple[list[tuple[str, str]], str | None]:
    """The closed blocks with their fences' tags, in lower case, and the tag of a fence that is not closed."""
    blocks: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for match in _FENCE.finditer(completion.replace("\r\n", "\n")):
        if opened is None:
            opened = match
        elif match["fence"].startswith(opened["fence"]) and not match["tag"]:
            indent = len(opened[0]) - len(opened[0].lstrip())
            text = match.string[opened.end() + 1 : match.start()]
            blocks.append((opened["tag"].lower(), _dedented(text, indent)))
            opened = None
    return blocks, opened["tag"].lower() if opened else None


def _dedented(text: str, indent: int) -> str:
    """`text` without the indentation that its fence has, as in a list."""
    if not indent:
        return text
    return re.sub(rf"^[ \t]{{1,{indent}}}", "", text, flags=re.MULTILINE)
