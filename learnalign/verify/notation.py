"""Rewrites what people type and models print as LaTeX for latex2sympy, and reads plain numbers exactly.

Everything here is a linear pass over a short answer. Nothing is evaluated.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

_FULLWIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_CHARACTERS = str.maketrans(
    {
        **{chr(code): chr(target) for code, target in _FULLWIDTH.items()},
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        **dict.fromkeys("−–‐‑‒﹣", "-"),
        **dict.fromkeys("⁄∕÷", "/"),
        **dict.fromkeys("·⋅", "\\cdot "),
        "—": " ", "×": "\\times ", "✕": "\\times ", "π": "\\pi ", "∞": "\\infty ", "≤": "\\le ", "≥": "\\ge ",
        "≠": "\\ne ", "±": "\\pm ", "°": "^\\circ ", "∅": "\\emptyset ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ",
        "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℕ": "\\mathbb{N}", "≈": "\\approx ", "θ": "\\theta ",
        "α": "\\alpha ", "β": "\\beta ",
        "½": "\\frac{1}{2}", "⅓": "\\frac{1}{3}", "⅔": "\\frac{2}{3}", "¼": "\\frac{1}{4}", "¾": "\\frac{3}{4}",
        "⅕": "\\frac{1}{5}", "⅛": "\\frac{1}{8}", "。": ".", "、": ",", "【": "[", "】": "]", "〔": "[", "〕": "]",
    }
)  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_FINAL_STOP = re.compile(r"(?<!\\)[.,;:。，；\s]+$")
_TEXT_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_NAMES = "pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln|arcsin|arccos|arctan"
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_REWRITES = (
    # x² -> x^{2}
    (re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+"), lambda match: "^{" + match.group().translate(_SUPERSCRIPTS) + "}"),
    # a₁ -> a_{1}
    (re.compile(r"[₀₁₂₃₄₅₆₇₈₉]+"), lambda match: "_{" + match.group().translate(_SUBSCRIPTS) + "}"),
    # √(3x) -> \sqrt{3x}
    (re.compile(r"√\s*(\d+|[A-Za-z]|\([^()]*\))"), lambda match: "\\sqrt{" + match.group(1).strip("()") + "}"),
    # 1{,}000 -> 1000
    (re.compile(r"(?<=\d)(?:\\[,;:! ]|\{,\}|,\\!|~)(?=\d{3}(?!\d))"), ""),
    # 1 000 -> 1000
    (re.compile(r"(?<![\d.])\d{1,3}(?: \d{3})+(?![\d/])"), lambda match: match.group().replace(" ", "")),
    # 5\,x -> 5 x
    (re.compile(r"\\(?:[,;:!]|quad|qquad|thinspace|left\.|right\.)|~"), " "),
    # \bigl(1, 2\bigr) -> (1, 2)
    (re.compile(r"\\(?:boxed|fbox|displaystyle|textstyle|bigl?|bigr?|Bigl?|Bigr?)(?![A-Za-z])"), ""),
    # 1.5e-3 -> 1.5\times10^{-3}
    (re.compile(r"(?<![A-Za-z\\])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\d.])"), r"\1\\times10^{\2}"),
    # \operatorname{ln}(x) -> \ln (x)
    (re.compile(rf"\\operatorname\s*\{{({_NAMES})\}}"), r"\\\1 "),
    # sqrt{2} -> \sqrt {2}
    (re.compile(rf"(?<![A-Za-z\\])({_NAMES})(?![A-Za-z])"), r"\\\1 "),
    # 5 percent -> 5\%
    (re.compile(r"\s*\\text\s*\{\s*(?:percent|pct)\s*\}|\s*\b(?:percent|per cent|pct)\b"), r"\\%"),
    # 1,000, 2,500 -> 1000, 2500
    (re.compile(r"[^()\[\]{}]*\d,\d{3}(?:,\d{3})*, [^()\[\]{}]*"), lambda match: _THOUSANDS.sub("", match.group())),
    # 2 1/3 -> 2\frac{1}{3}
    (re.compile(r"(?<![\d/^])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d^])"), r"\1\\frac{\2}{\3}"),
    # 3 x 10^5 -> 3\times 10^5
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)"), r"\\times "),
    # x**2 -> x^2
    (re.compile(r"\*\*"), "^"),
    # \varnothing -> \emptyset
    (re.compile(r"\\varnothing(?![a-zA-Z])"), r"\\emptyset"),
    # \sqrt(3) -> \sqrt{3}
    (re.compile(r"\\sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
)

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_PLAIN = re.compile(rf"(?P<sign>[+-]?)\s*\\?\$?\s*(?P<top>{_DECIMAL})(?:\s*/\s*(?P<bottom>\d+))?")
_LEADING = re.compile(rf"[+-]?\s*\$?\s*[+-]?(?:{_DECIMAL})(?:/\d+)?")
_FRACTION = re.compile(r"(?P<sign>[+-]?)\s*\\[dtc]?frac\s*\{\s*(?P<top>-?\d+)\s*\}\s*\{\s*(?P<bottom>\d+)\s*\}")
_LONGEST_PLAIN = 64


class PlainNumber(NamedTuple):
    """A number that needs no computer algebra: its exact value and its number of decimals."""

    value: Fraction
    decimals: int


def unwrap(text: str) -> str:
    r"""Strip a final stop and all that encloses `text`: dollars, ``\( \)``, ``\[ \]``, ``**``, ``\text{}``."""
    previous = None
    while text != previous:
        previous = text
        text = _FINAL_STOP.sub("", text.strip())
        for opening, closing in _WRAPPERS:
            inside = text[len(opening) : len(text) - len(closing)]
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                text = inside if opening not in inside and closing not in inside else text
        if whole := _TEXT_WRAPPER.fullmatch(text):
            text = whole.group(1)
    return text


def clean(text: str) -> str:
    """Rewrite one answer as LaTeX: Unicode signs, thin spaces, thousands, scientific and mixed numbers."""
    text = unwrap(text.translate(_CHARACTERS))
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)  # type: ignore[arg-type]
    return unwrap(text)


def plain_number(text: str) -> PlainNumber | None:
    r"""Read an integer, decimal or fraction (1,234.50, -3/4, ``\frac{3}{4}``) exactly; returns None for other text."""
    if len(text) > _LONGEST_PLAIN:
        return None
    match = _PLAIN.fullmatch(text) or _FRACTION.fullmatch(text)
    if match is None:
        return None
    top, bottom = match["top"].replace(",", ""), match["bottom"] or "1"
    if int(bottom) == 0:
        return None
    value = Fraction(top) / int(bottom) * (-1 if match["sign"] == "-" else 1)
    return PlainNumber(value, len(top.partition(".")[2]))


def leading_number(text: str) -> PlainNumber | None:
    """Read the number at the start of `text`, after a dollar sign: GSM8K's "$1,234 a year" is 1234."""
    match = _LEADING.match(text.strip()[:_LONGEST_PLAIN])
    return plain_number(match.group()) if match else None


def same_number(a: PlainNumber, b: PlainNumber) -> bool:
    """Compare exactly; with six decimals or more, to half the sixth decimal and to one part in a million."""
    if a.value == b.value:
        return True
    if max(a.decimals, b.decimals) < 6:
        return False
    return abs(a.value - b.value) <= min(max(abs(a.value), abs(b.value)), Fraction(1, 2)) / 1_000_000


def as_words(text: str) -> str | None:
    r"""Read `text` as lower-case words ("(B)" and "\text{B}" are "b"); returns None if it is not only words."""
    bare = _TEXT_WRAPPER.sub(r"\1", unwrap(text)).replace("\\ ", " ").replace("~", " ")
    bare = unwrap(bare).strip("()[]{}\"'“”‘’ ").casefold()
    words = " ".join(bare.split())
    return words if re.fullmatch(r"[^\W\d_](?:[^\W\d_]|['’\- ])*", words) else None
