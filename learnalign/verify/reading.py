"""Parses an answer, gold or sampled, as mathematics: its values by latex2sympy, its unit, and its words.

This module imports math-verify and runs only in worker processes: parsing a policy's text can hang or eat memory.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import NormalizationConfig, latex2sympy, normalize_latex
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse
from math_verify.grader import should_treat_as_complex

from learnalign.verify.extract import after_hashes, find_boxes, stated_answers
from learnalign.verify.notation import as_words, clean, plain_number
from learnalign.verify.units import Unit, split_unit

# Silence the warning that math-verify's SIGALRM timeouts are off: the parent enforces the limit.
logging.getLogger("math_verify").setLevel(logging.ERROR)

LONGEST_ANSWER = 4_000  # characters of one answer; the longest of MATH-500 has 159
_TAIL = 4_000  # characters searched for an answer at the end of a completion without a box

_NORMALIZATION = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
_EXTRACTION = (LatexExtractionConfig(), ExprExtractionConfig())
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[^}]*\}|\\(?:text|mathrm|mbox)\s*\{\s*(?:and|or)\s*\}|\\[a-zA-Z]+")
_PAIR = re.compile(r"(?:\\left\s*)?([(\[])([^,()\[\]]*),([^,()\[\]]*?)(?:\\right\s*)?([)\]])")
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\b.*\\circ", re.DOTALL)
_FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "exp",
    "sqrt", "gcd", "lcm", "mod", "and", "inf", "infinity", "max", "min", "det",
}  # fmt: skip
_EMPTY_SET = frozenset(
    ("no solution", "no solutions", "no real solution", "no real solutions", "empty set", "the empty set")
)
_PLACEHOLDERS = frozenset(("nan", "null", "none", "n/a", "<na>", "na"))


@dataclass(frozen=True, slots=True)
class Reading:
    """One parsed answer.

    Args:
        values: sympy objects it may mean (a string if only text is left), best first; empty if unreadable.
        unit: its unit, if it names one.
        words: the answer in lower case, if it is only words.
        text: the parsed text, without the unit.
    """

    values: list[Any] = field(default_factory=list)
    unit: Unit | None = None
    words: str | None = None
    text: str = ""


def read_answer(text: str) -> Reading:
    """Read the text of a box, tag or gold column: an expression, a quantity, words, or a sentence with one of them."""
    words = as_words(text)
    if words in _EMPTY_SET:
        return Reading(_expression("\\emptyset"), text=text)
    text = clean(text)
    number, unit = split_unit(text)
    if unit is None and is_prose(text):
        return Reading(_statement(text), words=words, text=text)
    return Reading(_clock(number, unit) or _expression(number), unit, words, number)


def read_completion(text: str) -> list[Reading]:
    """Read a completion without a box: its stated answer, else its last expression."""
    for stated in stated_answers(text):
        reading = read_answer(stated.sentence)
        if reading.values or reading.words:
            other = Reading(_statement("answer is " + clean(stated.line))) if is_prose(reading.text) else Reading()
            return [reading, other] if other.values else [reading]
    whole = text.strip()
    if len(whole) <= 200 and "\n" not in whole:
        reading = read_answer(whole)
        if reading.values or reading.words:
            return [reading]
    return [Reading(_statement(clean(text[-_TAIL:])))]


def read_gold(answer: str) -> Reading | str:
    """Read a gold answer (a number, LaTeX with or without delimiters, boxed, after ####), or return why not."""
    text = answer.strip()
    if not text:
        return "the gold answer is empty"
    if text.casefold() in _PLACEHOLDERS:
        return f"the gold answer is the placeholder {text!r}"
    boxes = find_boxes(text)
    if boxes.contents:
        text = boxes.joined or boxes.contents[-1]
    elif boxes.unterminated:
        return "the gold answer has a box that is not closed"
    elif (stated := after_hashes(text)) is not None:
        text = stated
    if len(text) > LONGEST_ANSWER:
        return f"the gold answer is longer than {LONGEST_ANSWER} characters"
    reading = read_answer(text)
    if any(not isinstance(value, str) for value in reading.values):
        return reading
    if reading.words is not None and len(reading.words.split()) <= 4:
        return reading
    return "the gold answer cannot be read as mathematics"


def is_prose(text: str) -> bool:
    """Whether `text` has words other than LaTeX commands and functions."""
    words = re.findall(r"[^\W\d_]{3,}", _COMMAND.sub(" ", text))
    return any(word.casefold() not in _FUNCTIONS for word in words)


def _expression(text: str) -> list[Any]:
    quick = _rational(text) or _pair(text)
    return [quick] if quick is not None else _latex(text)


def _rational(text: str) -> sympy.Rational | None:
    plain = plain_number(text)
    return sympy.Rational(plain.value) if plain and not plain.decimals else None


def _pair(text: str) -> sympy.Basic | None:
    """Read an interval or point of plain numbers, like (1, 2], as latex2sympy would; it needs 20 ms for one."""
    match = _PAIR.fullmatch(text)
    ends = [_rational(end.strip()) for end in match.group(2, 3)] if match else []
    if match is None or ends[0] is None or ends[1] is None:
        return None
    if ends[0] < ends[1]:
        return sympy.Interval(*ends, left_open=match[1] == "(", right_open=match[4] == ")")
    return sympy.Tuple(*ends) if match[1] + match[4] == "()" else None


def _latex(text: str) -> list[Any]:
    normalized = normalize_latex(text, _NORMALIZATION)
    if not normalized:
        return []
    try:
        value = latex2sympy(
            normalized,
            is_real=not should_treat_as_complex(normalized),
            convert_degrees=_TRIGONOMETRY.search(normalized) is not None,
        )
    except MemoryError:
        raise
    except Exception:  # latex2sympy raises bare Exceptions, and sympy anything, if it is not mathematics
        return []
    return [value] if value not in (None, sympy.zoo, sympy.nan) else []


def _clock(text: str, unit: Unit | None) -> list[Any]:
    """The minutes of a time of day: 3:10 PM, or 3:05, which is not a ratio."""
    match = _CLOCK.fullmatch(text)
    if not match or not ((unit and unit.kind in ("before noon", "after noon")) or match[2].startswith("0")):
        return []
    return [sympy.Integer(60 * int(match[1]) + int(match[2]))]


def _statement(text: str) -> list[Any]:
    """Return what math-verify extracts from a sentence: its rightmost match of the highest priority."""
    return [
        value
        for value in parse(text, _EXTRACTION, extraction_mode="first_match", parsing_timeout=None)
        if not isinstance(value, str)
    ]
