"""Reading an answer, gold or sampled, as mathematics: what latex2sympy makes of it, its unit, and its words.

This module imports math-verify and runs in worker processes only: reading what a policy wrote can hang or eat memory.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import Any

from latex2sympy2_extended.latex2sympy2 import NormalizationConfig, latex2sympy, normalize_latex
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse
from math_verify.grader import should_treat_as_complex

from learnalign.verify.extract import after_hashes, find_boxes
from learnalign.verify.notation import as_words, clean
from learnalign.verify.units import Unit, split_unit

# math-verify warns that its SIGALRM timeouts are off; the pool's kill is the limit
logging.getLogger("math_verify").setLevel(logging.ERROR)

LONGEST_ANSWER = 4_000  # characters of one answer; the longest of MATH-500 has 159
_TAIL = 4_000  # characters at the end of a completion without a box that are searched for an answer
_CUES = 4  # last statements of an answer that are tried

_NORMALIZATION = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
_EXTRACTION = (LatexExtractionConfig(), ExprExtractionConfig())
_CUE = re.compile(
    r"(?i)(?:\banswers?\b|答案)[*_\s]{0,4}(?:(?:is|are|was|would be|equals|comes to|=|是|为|：|:)[*_\s]{0,4}){1,2}"
)
_SENTENCE_END = re.compile(r"\n|。|[.!?;](?=\s|\*|$)|(?:,| because| since| so)\s")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[^}]*\}|\\(?:text|mathrm|mbox)\s*\{\s*(?:and|or)\s*\}|\\[a-zA-Z]+")
_FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "exp", "sqrt",
    "gcd", "lcm", "mod", "and", "inf", "infinity", "max", "min", "det",
}  # fmt: skip
_EMPTY_SET = frozenset(
    ("no solution", "no solutions", "no real solution", "no real solutions", "empty set", "the empty set")
)
_PLACEHOLDERS = frozenset(("nan", "null", "none", "n/a", "<na>", "na"))


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer as read.

    Args:
        values: sympy objects it may stand for (strings where only the text is left), best first; empty if unreadable.
        unit: its unit, if it names one.
        words: the answer in lower case where it is words alone.
        text: what was read, without the unit.
    """

    values: list[Any] = field(default_factory=list)
    unit: Unit | None = None
    words: str | None = None
    text: str = ""


def read_answer(text: str) -> Reading:
    """Read what stands in a box, a tag or a gold column: an expression, a quantity, words, or a sentence around one."""
    words = as_words(text)
    if words in _EMPTY_SET:
        return Reading(_expression("\\emptyset"), text=text)
    text = clean(text)
    number, unit = split_unit(text)
    if unit is None and is_prose(text):
        return Reading(_statement(text), words=words, text=text)
    return Reading(_expression(number), unit, words, number)


def read_completion(text: str) -> list[Reading]:
    """The readings of a completion without a box: what it states as its answer, else its last expression."""
    for cue in reversed(list(_CUE.finditer(text))[-_CUES:]):
        rest = text[cue.end() : cue.end() + 400].lstrip()
        end = _SENTENCE_END.search(rest)
        reading = read_answer(rest[: end.start()] if end else rest)
        if reading.values or reading.words:
            statement = Reading(_statement("answer is " + clean(rest.split("\n")[0])))
            return [reading] if not statement.values or not is_prose(reading.text) else [reading, statement]
    whole = text.strip()
    if len(whole) <= 200 and "\n" not in whole:
        return [read_answer(whole)]
    return [Reading(_statement(clean(text[-_TAIL:])))]


def read_gold(answer: str) -> Reading | str:
    """The reading of a gold answer (number, LaTeX with or without delimiters, boxed, after ####), or why it has none."""
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
    """Whether `text` has words in it that are neither LaTeX commands nor functions."""
    words = re.findall(r"[^\W\d_]{3,}", _COMMAND.sub(" ", text))
    return any(word.casefold() not in _FUNCTIONS for word in words)


def _expression(text: str) -> list[Any]:
    normalized = normalize_latex(text, _NORMALIZATION)
    if not normalized:
        return []
    try:
        value = latex2sympy(normalized, is_real=not should_treat_as_complex(normalized), convert_degrees=False)
    except MemoryError:
        raise
    except Exception:  # latex2sympy raises bare Exceptions, and sympy anything, on what is not mathematics
        return []
    return [value] if value is not None else []


def _statement(text: str) -> list[Any]:
    """What math-verify finds in a sentence: the match of highest priority and furthest right, and no other."""
    return [
        value
        for value in parse(text, _EXTRACTION, extraction_mode="first_match", parsing_timeout=None)
        if not isinstance(value, str)
    ]
