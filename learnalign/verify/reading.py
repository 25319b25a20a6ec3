"""Reads one answer, gold or sampled, into its form (see `forms`): each reader below knows one, the first that fits wins.

Runs in worker processes only: parsing a policy's text can hang or eat memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import sympy

from learnalign.verify import prose
from learnalign.verify.extract import after_hashes, find_boxes, stated_answers
from learnalign.verify.forms import (
    Assignments,
    Based,
    Bracket,
    Choice,
    Clock,
    Date,
    Equation,
    Family,
    Form,
    Listing,
    Matrix,
    Order,
    Ratio,
    RealSet,
    Remainder,
    Value,
    Words,
)  # fmt: skip
from learnalign.verify.notation import as_words, clean, plain_number
from learnalign.verify.symbolic import parse
from learnalign.verify.units import compound, split_unit

LONGEST_ANSWER = 4_000  # characters of one answer; the longest of MATH-500 has 159
_TAIL = 4_000  # characters searched for an answer at the end of a completion without a box
_LONGEST_PHRASE = 8  # words of a gold answer that is compared as words

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
_UNREADABLE = (
    "the gold answer cannot be read as mathematics or one short answer; to compare it as text, use the verifier `exact`"
)
_UNUSABLE = re.compile(
    r"nan|null|none|n/?a|<na>|\?+|-+|tbd|todo|unknown|proof\.?|(?:see )?(?:the )?(?:proof|solution|explanation|above|below)\b.*|mcq|"
    r"not ?found|no answer|omitted|open[- ]ended|answers? (?:may|will|can) vary.*|prove.*|q\.?e\.?d\.?|error|multiple choice",
    re.IGNORECASE,
)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_MONTH = "(?P<month>" + "|".join(f"{month[:3]}(?:{month[3:]})?" for month in _MONTHS) + r"|sept)\.?"
_DATES = (
    re.compile(rf"{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:\s*,?\s*(?P<year>\d{{4}}))?", re.IGNORECASE),
    re.compile(
        rf"(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)?\s+{_MONTH}(?:\s*,?\s*(?P<year>\d{{4}}))?", re.IGNORECASE
    ),
    re.compile(rf"{_MONTH}\s*,?\s*(?P<year>\d{{4}})(?P<day>)", re.IGNORECASE),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"),
)
_CLOCK = re.compile(
    r"(\d{1,2})\s*:\s*([0-5]\d)(?:\s*(a|p)\s*\.?\s*m\b\.?)?|(\d{1,2})\s*(a|p)\s*\.?\s*m\b\.?", re.IGNORECASE
)
_BASED = re.compile(r"\(?(-?[0-9A-Fa-f]+)\)?\s*_\s*\{?\s*(\d+|[a-z]+)\s*\}?")
_CHOICE = re.compile(
    r"(?:(?i:option|choice|answer)\s+)?\(\s*([A-H])\s*\)\s*[:.]?\s*(.*)|(?:(?i:option|choice|answer)\s+)?([A-H])\s*[).:]\s*(.*)"
    r"|(?i:option|choice|answer)\s+([A-H])()",
    re.DOTALL,
)
_REMAINDER = re.compile(r"(\d+)\s*,?\s*(?:with (?:a )?)?(?:remainder|rem\.?|R)\s*(?:of )?(\d+)", re.IGNORECASE)
_CONGRUENCE = re.compile(
    r"(?:[a-z]\s*(?:\\equiv|≡|=)\s*)?(-?\d+)\s*\(?\s*(?:\\pmod|\\mod|\\bmod|mod)\s*\{?\s*(\d+)\s*\}?\s*\)?"
)
_BUILDER = re.compile(
    r"\\\{\s*(?:([a-z])|([a-z])\s*\\in\s*\\(?:mathbb\s*\{?R\}?|R))\s*(?:\||:)\s*(.*?)\s*\\\}", re.DOTALL
)
_INTEGERS = re.compile(
    r"[,;\s(]*(?:where|for|with)?\s*([a-z])\s*(?:\\in|∈|is an?y?)\s*(?:\\mathbb\s*\{?Z\}?|\\Z|integer|N)\s*\)?$"
)
_ORDINAL = re.compile(r"(\d+)\s*\^?\s*\{?\s*(?:st|nd|rd|th)\s*\}?")
_UNDEFINED = re.compile(r"\\frac\s*\{[^{}]*\}\s*\{\s*0?\s*\}|/\s*0(?![\d.])")
_QUOTED = re.compile(r"\[\s*([\"']).*\1\s*\]", re.DOTALL)
_MATRIX = re.compile(r"\(?\s*\\begin\s*\{([pbB]?matrix|array)\}\s*(?:\{[^}]*\})?(.*)\\end\s*\{\1\}\s*\)?", re.DOTALL)
_NAME = re.compile(r"\\?[A-Za-z]+(?:_(?:\{[^{}]*\}|\w))?'*")
_OR = r"\s*,?\s*(?:\bor\b|或者?)\s*"
_AND = r"\s*(?:[,;、]\s*(?:\band\b\s*)?|\band\b|和)\s*"
_SIGN = r"(?<![<>=!:])=(?!=)|<|>|\\(?:le|ge|lt|gt|ne|neq|in|approx|equiv|to)(?![A-Za-z])"
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


def read(text: str) -> Form | None:
    """Read an answer's text; None if there is nothing in it that can be read."""
    return _read(clean(text)) if len(text) <= LONGEST_ANSWER else None


def _read(text: str) -> Form | None:
    text = text.strip()
    if not text:
        return None
    for reader in _READERS:
        if (form := reader(text)) is not None:
            return form
    return None


def _key(text: str) -> str:
    return "".join(text.split())


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


# The readers, in order. Each returns the form of `text`, a cleaned answer, or None.


def _quoted(text: str) -> Form | None:
    if not _QUOTED.fullmatch(text):
        return None
    items = [_read(item.strip().strip("\"'")) for item in split(text.strip()[1:-1], ",")]
    return _listing(items, text)


def _words(text: str) -> Form | None:
    words = as_words(text)
    if words is None:
        return None
    if words in _SYNONYMS:
        return _read(_SYNONYMS[words])
    if (number := _number_word(words)) is not None:
        return Value(sympy.Integer(number), plain_number(str(number)), text=str(number))
    if len(words) == 1 or re.search(r"\b(?:and|or)\b", words) or (prose.words_of(text) == [] and not text.isupper()):
        return None  # a letter, or a product of letters
    return None if prose.bounded(text) else Words(_SAME_WORDS.get(words, words), text=_key(text.strip("()")))


def _number_word(words: str) -> int | None:
    parts = words.replace("-", " ").split()
    if len(parts) == 1 and parts[0] in _SMALL:
        return _SMALL.index(parts[0])
    if parts and parts[0] in _TENS and len(parts) <= 2:
        rest = _number_word(parts[1]) if len(parts) == 2 else 0
        return _TENS[parts[0]] + rest if rest is not None and rest < 10 else None
    return None


def _plain(text: str) -> Form | None:
    plain = plain_number(text) if "$" not in text else None  # a currency is a unit
    if plain is None:
        ordinal = _ORDINAL.fullmatch(text)
        plain = plain_number(ordinal[1]) if ordinal else None
    return (
        Value(sympy.Rational(plain.value.numerator, plain.value.denominator), plain, text=_key(text)) if plain else None
    )


def _compound(text: str) -> Form | None:
    return _quantity(text) if compound(text) else None


def _date(text: str) -> Form | None:
    for pattern in _DATES:
        if match := pattern.fullmatch(text.strip(". ")):
            month = match["month"].lower()
            number = (
                int(month)
                if month.isdigit()
                else 1 + next(i for i, name in enumerate(_MONTHS) if name[:3] == month[:3])
            )
            year, day = match["year"], match["day"]
            if number <= 12 and int(day or 1) <= 31:
                return Date(int(year) if year else None, number, int(day) if day else None, text=_key(text))
    return None


def _clock(text: str) -> Form | None:
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hour, half = int(match[1] or match[4]), (match[3] or match[5] or "").lower()
    if hour > 23:
        return None
    ratio = None if half or len(match[1]) > 2 else _ratio(text)
    return Clock(60 * hour + int(match[2] or 0), half, ratio if isinstance(ratio, Ratio) else None, text=_key(text))


def _based(text: str) -> Form | None:
    match = _BASED.fullmatch(text)
    if match is None:
        return None
    base = int(match[2]) if match[2].isdigit() else (_number_word(match[2]) or 0)
    digits = match[1].lstrip("-")
    fits = 2 <= base <= 36 and digits[0].isdigit() and all(int(digit, 36) < max(base, 11) for digit in digits)
    return Based(match[1].upper(), base, text=_key(text)) if fits else None


def _choice(text: str) -> Form | None:
    match = _CHOICE.fullmatch(text)
    if match is None:
        return None
    rest = (match[2] or match[4] or "").strip()
    return Choice((match[1] or match[3] or match[5]).upper(), _read(rest) if rest else None, text=_key(text))


def _remainder(text: str) -> Form | None:
    for modular, pattern in ((False, _REMAINDER), (True, _CONGRUENCE)):
        if match := pattern.fullmatch(text):
            first, second = int(match[1]), int(match[2])
            return Remainder(modular, first % second if modular and second else first, second, text=_key(text))
    return None


def _set_builder(text: str) -> Form | None:
    match = _BUILDER.fullmatch(text)
    return _read(match[3]) if match else None


def _family(text: str) -> Form | None:
    match = _INTEGERS.search(text)
    if match is not None:
        body, letter = text[: match.start()], match[1]
        value = parse(re.sub(r"^[^=]*=", "", body))
    else:
        letter = next(iter(re.findall(r"(?<![A-Za-z\\])[knm](?![A-Za-z])", text)), None)
        value = parse(text) if letter and "\\pi" in text and not re.search(_SIGN, text) else None
        if value is None or value.free_symbols != {sympy.Symbol(letter)}:
            return None
    if not isinstance(value, sympy.Expr):
        return None
    return Family(value.subs(sympy.Symbol(letter), sympy.Symbol("k")), text=_key(text))


def _bound(text: str) -> Form | None:
    if not prose.is_prose(text):
        return None
    if prose.negated(text) or prose.is_range(text):
        return Words(" ".join(text.casefold().split()), text=_key(text))
    bounded = prose.bounded(text)
    return _read(bounded) if bounded else None


def _clauses(text: str) -> Form | None:
    shorter = re.sub(r".*\bi\.\s?e\.\s*,?\s*", "", text, flags=re.DOTALL)
    shorter = prose.without_reasons(shorter).strip() if prose.is_prose(text) else shorter
    return _read(shorter) if shorter and shorter != text else None


def _logical(text: str) -> Form | None:
    """Relations joined by signs of logic are read like those joined by words; p ∨ q is a formula."""
    words = re.sub(r"\\(?:lor|vee)(?![A-Za-z])", " or ", re.sub(r"\\(?:land|wedge)(?![A-Za-z])", " and ", text))
    return _read(words) if words != text and re.search(_SIGN, text) else None


def _alternatives(text: str) -> Form | None:
    parts = split(text, _OR)
    if len(parts) < 2:
        return None
    forms = [_read(part) for part in parts]
    if all(isinstance(form, RealSet) for form in forms):
        return RealSet(sympy.Union(*(form.values for form in forms if isinstance(form, RealSet))), text=_key(text))
    return _listing(forms, text, merge=True)


def _listed(whole: str) -> Form | None:
    text, parts = whole, split(whole, _AND)
    while len(parts) > 1 and prose.is_prose(parts[0]) and prose.split_sentence(parts[0]) == ([], ()):
        text = ",".join(parts := parts[1:])  # "Therefore, …"
    while len(parts) > 1 and prose.is_clause(parts[-1]) and not _pieces(parts[-1]):
        text = ",".join(parts := parts[:-1])  # "Yes, it is."
    if len(parts) == 1:
        return _read(text) if text != whole else None
    if _pieces(text) == 1 or any(map(prose.is_clause, parts[1:])):
        return None
    forms = [_read(part) for part in parts if part.strip()]
    sets = [form for form in forms if isinstance(form, RealSet)]
    if sets and len(sets) == len(forms):
        both = sympy.Intersection(*(form.values for form in sets))
        return RealSet(
            sympy.Union(*(form.values for form in sets)) if both == sympy.EmptySet else both, text=_key(text)
        )
    return _listing(forms, text)


def _pieces(text: str) -> int:
    """The values that a sentence of several clauses names; 0 if it is no sentence."""
    return len(prose.split_sentence(text)[0]) if prose.is_prose(text) else 0


def _listing(forms: list[Form | None], text: str, merge: bool = False) -> Form | None:
    """Put the items together: one, a list, or assignments if each names another variable."""
    items = [form for form in forms if form is not None]
    if len(items) < len(forms) or not items:
        return Words(" ".join(text.casefold().split()), text=_key(text)) if prose.is_prose(text) else None
    equations = [item for item in items if isinstance(item, Equation) and item.named and item.value is not None]
    names = {item.text.partition("=")[0] for item in equations}
    if len(equations) == len(items) and len(names) == len(items) > 1:
        return Assignments(tuple((e.text.partition("=")[0], e.value) for e in equations if e.value), text=_key(text))
    if equations and (len(names) == 1 or isinstance(items[0], Equation)):
        items = [item.value if isinstance(item, Equation) and item.value is not None else item for item in items]
    if merge:
        distinct = {item.text: item for item in items}
        items = list(distinct.values())
    return (
        items[0] if len(items) == 1 else Listing(tuple(items), alternatives=merge or bool(equations), text=_key(text))
    )


def _relation(text: str) -> Form | None:
    signs = [match.group() for match in split_marks(text, _SIGN)]
    sides = split(text, _SIGN)
    if not signs or "\\to" in signs or len(sides) != len(signs) + 1:
        return None
    signs = [{"\\lt": "<", "\\gt": ">", "\\neq": "\\ne"}.get(sign, sign) for sign in signs]
    if signs[-1] == "\\approx":
        named = len(sides) == 2 and _NAME.fullmatch(sides[0].strip())
        shown = sides[1:] if named or not sides[0].strip() else sides[:-1]
        return _read("=".join(shown)) if len(signs) == 1 or set(signs) <= {"=", "\\approx"} else None
    if signs == ["\\in"]:
        return _read(sides[1])
    if set(signs) == {"="}:
        return _equation(sides, text)
    if signs == ["\\ne"]:
        value = parse(sides[1])
        return (
            RealSet(sympy.Reals - sympy.FiniteSet(value), text=_key(text))
            if value is not None and value.is_number
            else None
        )
    if set(signs) <= set(_FLIPPED):
        return _inequality(sides, signs, text)
    return None


def _equation(sides: list[str], text: str) -> Form | None:
    first, last = sides[0].strip(), sides[-1].strip()
    if len(sides) == 2 and _NAME.fullmatch(last) and plain_number(first):
        first, last = last, first
    inner = [side for side in sides[1:] if prose.is_prose(side)]
    if any(_pieces(side) > 1 for side in inner) or (len(inner) and _pieces(last) == 0):
        return Words(" ".join(text.casefold().split()), text=_key(text))
    value = _read(last)
    names = [name.strip() for name in first.strip("()").split(",")]
    if (
        first.startswith("(")
        and isinstance(value, Bracket)
        and len(names) == len(value.items)
        and all(map(_NAME.fullmatch, names))
    ):
        return Assignments(tuple(zip(names, value.items, strict=True)), text=_key(text))
    if value is None:
        return None
    left = None if prose.is_prose(first) else parse(first)
    right = value.value if isinstance(value, Value) else None
    return Equation(left, right, value, _is_name(first, left), text=_key(text))


def _is_name(text: str, value: Any) -> bool:
    """Whether the left side of an equation only names its value: x, f(3), AB, \\frac{a}{b}, Area, or a calculation, 3 + 4."""
    if value is None:
        return "\\angle" in text or prose.is_prose(text) or not re.search(r"[A-Za-z\d)}]\s*[-+*/^]", text)
    if not isinstance(value, sympy.Expr) or value.is_number:
        return True
    if isinstance(value, sympy.Add) or (isinstance(value, sympy.Mul) and any(part.is_number for part in value.args)):
        return False
    return all(part.exp == -1 for part in sympy.preorder_traversal(value) if isinstance(part, sympy.Pow))


def _inequality(sides: list[str], signs: list[str], text: str) -> Form | None:
    if signs[0] in (">", "\\ge") and all(sign in (">", "\\ge") for sign in signs):
        sides, signs = sides[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
    if any(sign in (">", "\\ge") for sign in signs):
        return None
    values = [parse(side) if side.strip() else None for side in sides]
    numbers = [isinstance(value, sympy.Expr) and value.is_number for value in values]
    ends = {index for index, number in enumerate(numbers) if number}
    if len(sides) == 2 and len(ends) == 1:
        low, high = (values[0], sympy.oo) if 0 in ends else (-sympy.oo, values[1])
        if _is_variable(sides[1 if 0 in ends else 0]):
            return RealSet(
                sympy.Interval(low, high, 0 in ends and signs[0] == "<", 1 in ends and signs[0] == "<"), text=_key(text)
            )
    if len(sides) == 3 and ends == {0, 2} and _is_variable(sides[1]):
        return RealSet(sympy.Interval(values[0], values[2], signs[0] == "<", signs[1] == "<"), text=_key(text))
    if any(value is None for value in values):
        return None
    chain = [str(values[0])]
    for sign, value in zip(signs, values[1:], strict=True):
        chain += [sign, str(value)]
    return Order(tuple(chain), text=_key(text))


def _is_variable(text: str) -> bool:
    return not text.strip() or not isinstance(parse(text), sympy.Add | sympy.Mul) or prose.is_prose(text)


def _union(text: str) -> Form | None:
    marks = [match.group() for match in split_marks(text, r"\\(?:cup|cap|setminus|backslash)(?![A-Za-z])")]
    if not marks:
        return None
    parts = [as_set(_read(part)) for part in split(text, r"\\(?:cup|cap|setminus|backslash)(?![A-Za-z])")]
    if any(part is None for part in parts):
        return None
    values = parts[0]
    for mark, part in zip(marks, parts[1:], strict=True):
        values = {"\\cup": sympy.Union, "\\cap": sympy.Intersection}.get(mark, sympy.Complement)(values, part)
    return RealSet(values, text=_key(text))


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


def _bracketed(text: str) -> Form | None:
    braces = text.startswith("\\{") and text.endswith("\\}")
    inside = text[2:-2] if braces else text[1:-1]
    if not braces and not (text[0] in "([" and text[-1] in ")]"):
        return None
    if not _closes_last(text):
        return None
    parts = split(inside, ",|;")
    forms = [_read(part) for part in parts if part.strip()]
    if any(form is None for form in forms) or not forms:
        return None
    items = tuple(form for form in forms if form is not None)
    if braces:
        return Listing(items, braces=True, text=_key(text))
    if len(items) == 1:
        return None if text[0] == "(" else items[0]
    if text[0] == "[" and all(isinstance(item, Bracket) for item in items):
        return Matrix(tuple(item.items for item in items if isinstance(item, Bracket)), text=_key(text))
    return Bracket(text[0] + text[-1], items, text=_key(text))


def _closes_last(text: str) -> bool:
    """Whether the bracket that opens `text` is closed only by its last character."""
    depth = 0
    for match in re.finditer(r"\\[{}]|[()\[\]{}]", text):
        depth += 1 if match.group()[-1] in "([{" else -1
        if depth == 0:
            return match.end() == len(text)
    return False


def _matrix(text: str) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None:
        return None
    rows = [[_read(cell) for cell in row.split("&")] for row in match[2].split("\\\\") if row.strip()]
    if any(cell is None for row in rows for cell in row):
        return None
    return Matrix(tuple(tuple(cell for cell in row if cell is not None) for row in rows), text=_key(text))


def _ratio(text: str) -> Form | None:
    parts = split(text, r":|\bto\b")
    if len(parts) < 2 or prose.is_prose(re.sub(r"\bto\b", ":", text)):
        return None
    values = [parse(part) for part in parts]
    return Ratio(tuple(values), text=_key(text)) if all(isinstance(value, sympy.Expr) for value in values) else None


def _plus_minus(text: str) -> Form | None:
    if not re.search(r"\\(?:pm|mp)(?![a-z])", text):
        return None
    upper = re.sub(r"\\mp(?![a-z])", "-", re.sub(r"\\pm(?![a-z])", "+", text))
    lower = re.sub(r"\\mp(?![a-z])", "+", re.sub(r"\\pm(?![a-z])", "-", text))
    return _listing([_read(upper), _read(lower)], text)


def _quantity(text: str) -> Form | None:
    number, unit, label = split_unit(text)
    if unit is None and not label and number == text and not text.rstrip().endswith("%"):
        return None
    percent = number.rstrip().endswith("%")
    plain = plain_number(number.strip(" %\\"))
    if label and plain is None and unit is None:
        return None
    value = (
        sympy.Rational(plain.value.numerator, plain.value.denominator)
        if plain
        else parse(number.rstrip(" %\\") if percent else number)
    )
    if not isinstance(value, sympy.Expr) or prose.is_prose(number):
        return None
    meant = tuple(prose.split_sentence(label)[1])
    return Value(value, plain, unit, percent, meant, text=_key(text))


def _formula(text: str) -> Form | None:
    if prose.is_prose(text):
        return None
    value = parse(text)
    if isinstance(value, sympy.Set):
        return RealSet(value, text=_key(text))
    return Value(value, text=_key(text)) if isinstance(value, sympy.Expr) else None


def _sentence(text: str) -> Form | None:
    if not prose.is_prose(text):
        return None
    pieces, words = prose.split_sentence(text)
    counted = [word for word in words if _number_word(word) is not None]
    if len(pieces) + len(counted) != 1 or prose.has_operators(text):
        return Words(" ".join(text.casefold().split()), text=_key(text))  # no value, or more than one
    piece = pieces[0] if pieces else counted[0]
    form = _read(piece) if piece != text else None
    if not isinstance(form, Value | None):
        return form
    value = form or _read(piece.split(" ")[0])
    if not isinstance(value, Value):
        return Words(" ".join(text.casefold().split()), text=_key(text))
    meant = tuple(dict.fromkeys(word for word in words if word not in counted))
    return replace(value, words=meant, text=_key(text))


def _as_text(text: str) -> Form | None:
    return Words(_key(text), text=_key(text))


_READERS: tuple[Callable[[str], Form | None], ...] = (
    _quoted, _choice, _words, _plain, _compound, _date, _clock, _based, _remainder, _set_builder, _family, _bound, _clauses,
    _logical, _alternatives, _listed, _relation, _union, _bracketed, _matrix, _ratio, _plus_minus, _quantity, _formula, _sentence,
    _as_text,
)  # fmt: skip


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
