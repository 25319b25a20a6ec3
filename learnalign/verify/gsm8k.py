"""GSM8K's answers: the one number on the line after the last ####."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from learnalign.verify.verdict import CORRECT, NO_ANSWER, Item, Verdict, correct, different, shown, wrong

_MARK = "####"
_LONGEST = 200  # characters of a line with one number
_CHARACTERS = str.maketrans(
    {
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # fullwidth
        **dict.fromkeys("−–‐‑‒﹣", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        "×": "\\times",
        "·": "\\cdot",
    }
)
# What may enclose a number: dollars, \( \), bold, backticks, a box or \text{}, spaces, a currency.
_AROUND = r"[\s$£€¥₹*_`~{}]|\\[\s$()\[\],;!]|\\(?:boxed|fbox|displaystyle|text[a-z]*|math[a-z]*)(?![A-Za-z])|</?answer>"
_GROUPS = r"[1-9]\d{0,2}(?P<gap>,|\{,\}|,?\\[,!]|\ )\d{3}(?:(?P=gap)\d{3})*|[1-9]\d?(?:,\d\d)+,\d{3}"
_NUMBER = rf"""
    \\[dt]?frac\s*\{{(?P<over>\d+)\}}\s*\{{(?P<under>\d+)\}}
    | (?P<top>(?:{_GROUPS}|\d+)(?:\.\d+)?|\.\d+)
      (?: [eE](?P<e>[+-]?\d{{1,3}}) | \s*(?:\\times|\\cdot|[x*])\s*10\s*\^\s*\{{?(?P<power>[+-]?\d{{1,3}})\}}?
        | \s*/\s*(?P<bottom>\d+) )?"""
_WORD = r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ'’./-]*"
_UNIT = rf"{_WORD}(?:\s+{_WORD}){{0,5}}"
_BEHIND = rf"(?:{_AROUND}|\\?%|°[CF]?|¢|(?:[kcm]m|[km]g|ml|lbs?|oz|ft|mph|hrs?|mins?)(?![\w/^]))"
_LINE = re.compile(
    rf"(?:{_AROUND})*+ (?P<sign>[+-]?) (?:{_AROUND})*+ (?:{_NUMBER}) (?:{_BEHIND}++(?P<unit>{_UNIT})?)? [.,;]*{_BEHIND}*",
    re.VERBOSE,
)
# Words behind a number that make another one of it.
_SCALED = re.compile(
    r"(?i)\b(?:(?:hundred|thousand|(?:m|b|tr)ill?i?(?:[oó]n|ard)|dozen|lakh|crore|half|halves|third|squared|cubed)\w*"
    r"|and|or|to|plus|minus|over|point|remainder|not|is|pi|one|two|three|four|five|six|seven|eight|nine|ten"
    r"|(?![mghlsL]\b)[a-z])(?![\w/])"
)


def judge_gold(answer: str) -> Verdict:
    """Judge whether a gold answer, a number or a solution with ####, can be used."""
    if not answer.strip():
        return Verdict(None, "the gold answer is empty")
    return CORRECT if _gold(answer) is not None else Verdict(None, "the gold answer is not one number")


def judge(item: Item) -> Verdict:
    """Judge a completion by the number on the line after its last ####, compared exactly."""
    line = _after_mark(item.completion)
    if not line:
        return NO_ANSWER
    number = _read(line)
    if number is None:
        return wrong(line, f"{shown(line)} after #### is not one number")
    return correct(line) if number == _gold(item.answer) else different(line, _after_mark(item.answer) or item.answer)


@lru_cache(4096)
def _gold(answer: str) -> Fraction | None:
    line = _after_mark(answer)
    return _read(answer.strip() if line is None else line)


def _after_mark(text: str) -> str | None:
    """The line after the last ####, or the next one with text; None without ####. If #### precedes it, both remain."""
    before, mark, after = text.rpartition(_MARK)
    if not mark:
        return None
    line = after.lstrip().partition("\n")[0].rstrip()
    earlier = before.rpartition("\n")[2].partition(_MARK)
    return f"{earlier[2]}{mark}{line}" if earlier[1] else line


def _read(line: str) -> Fraction | None:
    """The value of the one number that `line` is; None for any other text."""
    match = _LINE.fullmatch(line.translate(_CHARACTERS)) if len(line) <= _LONGEST else None
    if match is None or _SCALED.search(match["unit"] or ""):
        return None
    bottom = int(match["under"] or match["bottom"] or 1)
    if bottom == 0:
        return None
    top = match["over"] or re.sub(r"[^\d.]", "", match["top"])
    value = Fraction(top) / bottom * Fraction(10) ** int(match["e"] or match["power"] or 0)
    return -value if match["sign"] == "-" else value
