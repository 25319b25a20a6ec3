"""Sentences: finds the one value that a sentence states, and the words beside it that change its meaning."""

from __future__ import annotations

import re

FUNCTIONS = frozenset((
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log",
    "exp", "sqrt", "gcd", "lcm", "mod", "inf", "sup", "max", "min", "det", "lim",
))  # fmt: skip
_SHORT_WORDS = frozenset((
    "is", "of", "or", "at", "to", "in", "by", "if", "so", "it", "he", "we", "as", "an", "on", "be", "no", "do",
    "us", "up", "my", "go", "am",
))  # fmt: skip
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[^}]*\}|\\[a-zA-Z]+|_\{[^{}]*\}|\^\{[^{}]*\}")
# A hyphen joins words of two letters and more: x-y is a difference.
_WORD = re.compile(
    r"(?<![\\A-Za-z0-9_^{])(?:[A-Za-z]+['’][a-z]+|[A-Za-z]+[a-z](?:-[A-Za-z]{2,})*|[aAI](?=\s))(?![A-Za-z(_^])"
)
_PRODUCT = re.compile(r"a?b?c?d?|w?x?y?z?|p?q?r?s?|k?l?m?n?")  # abc and xyz are products
_STOP_WORDS = frozenset((
    "a", "about", "above", "after", "again", "all", "altogether", "also", "an", "and", "answer",
    "approximately", "are", "around", "as", "at", "be", "because", "been", "being", "but", "by", "can",
    "correct", "cost", "costs", "could", "did", "do", "does", "equal", "equals", "exactly", "final", "finally",
    "find", "first", "for", "from", "get", "gets", "give", "given", "gives", "had", "has", "have", "he",
    "hence", "her", "here", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "left", "me",
    "must", "my", "number", "of", "old", "on", "one", "only", "other", "our", "per", "possible", "required",
    "result", "she", "should", "simply", "so", "some", "still", "such", "than", "that", "the", "their", "them",
    "then", "there", "therefore", "these", "they", "this", "thus", "to", "total", "us", "value", "was", "way",
    "ways", "we", "were", "what", "when", "which", "who", "will", "with", "would", "you", "your", "roughly",
    "nearly", "pay", "pays", "take", "takes", "maximum", "minimum", "equivalent", "measure", "measures",
    "length", "area", "volume", "sum", "left",
))  # fmt: skip
_VALUE = re.compile(r"[\d\\=<>]|[A-Za-z]\s*[+/^*-]\s*\w")
_PUNCTUATION = " ,.;:?*\n\"'“”()"
_NEGATED = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor)|n['’]t)\b(?:\s+[A-Za-z]+){0,2}\s+(?=[\d$\\(-]|[a-z]\b)", re.IGNORECASE
)
_OPERATOR_WORDS = re.compile(
    r"\b(?:times|plus|minus|divided by|multiplied by|over)\s+(?=[\d$\\(-])|\b(?:squared|cubed|factorial|\w+ root|"
    r"(?:reciprocal|inverse|logarithm) of|(?:half|third|quarter|\w+th) of"
    r"|twice|double|triple|halves|thirds|quarters|fourths|fifths|tenths|hundredths)\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"(?:,|\s)\s*\(?\s*(?:since|because|which (?!gives|is|makes|leaves|equals)(?!.*\d)|where|given that|for (?:all|every|any|each))\b.*"
    r"|,\s*(?:but\s+|and\s+)?not\b.*|\s\((?=[^()]*[a-z]{4})[^()]*\)\s*$",
    re.IGNORECASE | re.DOTALL,
)
_LEADING_REASON = re.compile(r"(?:since|because|as|when|if|given)\b[^,]*,\s*(?=\S)", re.IGNORECASE)
_CLAUSE = re.compile(
    r"\s*(?:not|which|then|so|thus|hence|giving|leaving|we|he|she|it|they|there|this|that)\b", re.IGNORECASE
)
_NUMBER_AHEAD = r"(?=[\d$\\(.-]|[a-z]\b)"
_BOUNDS = tuple(
    (re.compile(pattern, re.IGNORECASE), sign)
    for pattern, sign in (
        (r"\b(?:at least|no less than|not less than|no fewer than|no smaller than|a minimum of)\s+", "\\ge "),
        (r"\b(?:at most|no more than|not more than|no greater than|up to|a maximum of)\s+", "\\le "),
        (
            rf"\b(?:more|greater|larger|bigger|higher) than\s+{_NUMBER_AHEAD}|\b(?:over|above|exceeding)\s+(?=[\d$])",
            "> ",
        ),
        (rf"\b(?:less|fewer|smaller|lower) than\s+{_NUMBER_AHEAD}|\b(?:under|below)\s+(?=[\d$])", "< "),
    )
)


def words_of(text: str) -> list[str]:
    """The words of `text` that are neither LaTeX commands, functions, nor capitals that name points (ABC)."""
    return [word for word in _WORD.findall(_COMMAND.sub(" ", text)) if _is_word(word)]


def _is_word(word: str) -> bool:
    if word.casefold() in FUNCTIONS or _PRODUCT.fullmatch(word) or (word.isupper() and word not in ("A", "I")):
        return False
    if not re.search(r"[aeiouy]", word, re.IGNORECASE):
        return False  # mgh is a product
    return len(word) >= 3 or word.casefold() in _SHORT_WORDS or word in ("A", "a", "I")


def is_prose(text: str) -> bool:
    """Whether `text` has words other than LaTeX commands and functions."""
    return any(len(word) > 1 for word in words_of(text))


def negated(text: str) -> bool:
    """Whether `text` denies what it names: "not 9"."""
    return _NEGATED.search(text) is not None


def is_range(text: str) -> bool:
    """Whether `text` names two ends: between 7 and 9."""
    return re.search(r"\bbetween\s+[\d$\\(-]", text) is not None


def bounded(text: str) -> str | None:
    """Rewrite a bound in words as an inequality (at least 5: ``\\ge 5``); None without one."""
    for pattern, sign in _BOUNDS:
        if match := pattern.search(text):
            return sign + text[match.end() :]
    return None


def without_reasons(text: str) -> str:
    """Cut a clause that gives the reason, before or behind the statement: since …, because …, which …."""
    return _REASON.sub("", _LEADING_REASON.sub("", text, count=1) if _LEADING_REASON.match(text) else text)


def split_sentence(text: str) -> tuple[list[str], tuple[str, ...]]:
    """Split a sentence into its values' texts (each without the words around it) with what follows, and its meaningful words."""
    words = [match for match in _WORD.finditer(text) if _is_word(match.group())]
    ends = [0, *(match.end() for match in words)]
    starts = [*(match.start() for match in words), len(text)]
    gaps = [(a, b) for a, b in zip(ends, starts, strict=True) if _VALUE.search(text[a:b])]
    if not gaps:
        gaps = [(a, b) for a, b in zip(ends, starts, strict=True) if re.search(r"[A-Za-z]", text[a:b])]
    values = [text[a:b].strip(_PUNCTUATION) for a, b in gaps]
    behind = [text[a:b] for (_, a), b in zip(gaps, [*(a for a, _ in gaps[1:]), len(text)], strict=False)]
    meant = tuple(match.group().casefold() for match in words if match.group().casefold() not in _STOP_WORDS)
    if not gaps:
        return [], meant
    return [f"{value} {after.strip(_PUNCTUATION)}".strip() for value, after in zip(values, behind, strict=True)], meant


def count_values(text: str) -> int:
    """Count the values that a sentence names; 0 if `text` is no sentence."""
    return len(split_sentence(text)[0]) if is_prose(text) else 0


def is_clause(text: str) -> bool:
    """Whether `text`, between two commas, is a clause of its own rather than an item of a list."""
    return _CLAUSE.match(text) is not None


def has_operators(text: str) -> bool:
    """Whether words compute: 7 times 2."""
    return _OPERATOR_WORDS.search(text) is not None
