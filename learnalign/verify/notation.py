"""Rewrites what people type and models print as LaTeX for latex2sympy, and reads plain numbers exactly.

Everything here is a linear pass over a short answer. Nothing is evaluated.
"""

from __future__ import annotations

import math
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
        "α": "\\alpha ", "β": "\\beta ", "λ": "\\lambda ", "μ": "\\mu ", "σ": "\\sigma ", "ω": "\\omega ",
        "Ω": "\\Omega ", "Δ": "\\Delta ", "δ": "\\delta ", "φ": "\\phi ", "ε": "\\epsilon ", "’": "'", "′": "'",
        "\x0c": "\\f", "\x08": "\\b",  # what a JSON or Python string makes of \frac and \boxed
        "½": "\\frac{1}{2}", "⅓": "\\frac{1}{3}", "⅔": "\\frac{2}{3}", "¼": "\\frac{1}{4}", "¾": "\\frac{3}{4}",
        "⅕": "\\frac{1}{5}", "⅛": "\\frac{1}{8}", "。": ".", "、": ",", "【": "[", "】": "]", "〔": "[", "〕": "]",
    }
)  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("`", "`"))
_FINAL_STOP = re.compile(r"(?<![\\.])(?!\.\.)[.,;:。，；\s]+$")
_BOLD = re.compile(r"(?<![\w)}\]])\*\*|\*\*(?![\w({\\-])|(?<!\w)__|__(?!\w)|`")
_DELIMITERS = re.compile(r"\$\$|(?<!\\)\\[()\[\]]")
_INLINE = re.compile(r"(?<!\\)\$(?=[^\s$])([^$]*[^\s$\\])\$(?!\d)")
_STYLES = (
    "text|textbf|textit|textrm|texttt|textsf|mathrm|mathbf|mathit|mathsf|mathtt|mbox|hbox|operatorname|boldsymbol|bm"
    "|underline|emph|mathop|rm"
)
_TEXT_WRAPPER = re.compile(rf"\\(?:{_STYLES})\s*\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}")
_VECTOR = re.compile(r"\\(?:mathbf|boldsymbol|bm)\s*\{\s*([ijk])\s*\}")
_NAMES = "pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln|arcsin|arccos|arctan|gcd|lcm|det|lim"
_DOTS = r"(?:\.\.\.|…|\\[lc]?dots)"
_SUFFIXED = re.compile(r"(\d)\s*\^?\s*\{?\s*(?:st|nd|rd|th)\b\s*\}?")


def _repeating(match: re.Match[str]) -> str:
    """The fraction of a repeating decimal: whole part, digits before the block, and the block."""
    whole, before, block = match[1] or "0", match[2] or "", re.sub(r"\D", "", match[3])
    bottom = (10 ** len(block) - 1) * 10 ** len(before)
    return f"\\frac{{{int(whole + before + block) - int(whole + before)}}}{{{bottom}}}"


_DOTTED = re.compile(rf"(?<![\d.])(\d*)\.(\d*?)(\d+?)\3+{_DOTS}")  # 0.1666...
_REWRITES = (
    # \left( 1 \right) -> ( 1 )
    (re.compile(r"\\(?:left|right|middle)\s*(?![A-Za-z])\.?|\\(?:big|Big|bigg|Bigg)[lrm]?(?![A-Za-z])"), ""),
    # \left\langle 1 -> \langle 1
    (re.compile(r"\\(?:left|right)(?=\\)"), ""),
    # {\color{red}7} -> {7}
    (re.compile(r"\\(?:color|tag\*?|label|phantom|hspace\*?|vspace\*?)\s*\{[^{}]*\}"), ""),
    # \textcolor{red}{7} -> {7}
    (re.compile(r"\\textcolor\s*\{[^{}]*\}"), ""),
    # \bf 7 -> 7
    (
        re.compile(
            r"\\(?:bf|rm|it|sf|tt|large|Large|LARGE|huge|Huge|small|displaystyle|textstyle|boxed|fbox|nonumber|limits)(?![A-Za-z])\s*"
        ),
        "",
    ),
    # \begin{aligned} x &= 7 \end{aligned} ->  x = 7
    (
        re.compile(
            r"\\begin\s*\{(align|aligned|equation|gathered|split)(\*?)\}((?:[^&\\]|\\[A-Za-z]+|&)*?)\\end\s*\{\1\2\}"
        ),
        lambda match: match[3].replace("&", "").rstrip(),
    ),
    # \begin{cases} x=1 \\ y=2 \end{cases} ->  x=1 , y=2
    (
        re.compile(r"\\begin\s*\{cases\}([^&]*?)\\end\s*\{cases\}"),
        lambda match: match[1].replace("\\\\", ","),
    ),
    # \log_{e} 2 -> \ln  2
    (re.compile(r"\\log_\s*\{?\s*e\s*\}?(?![A-Za-z])"), r"\\ln "),
    # {n \choose 2} -> \binom{n}{2}
    (re.compile(r"\{?\s*(\w+)\s*\\choose\s*(\w+)\s*\}?"), r"\\binom{\1}{\2}"),
    # \lg 2 -> \log_{10} 2
    (re.compile(r"\\lg(?![A-Za-z])"), r"\\log_{10}"),
    # x² -> x^{2}
    (re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+"), lambda match: "^{" + match.group().translate(_SUPERSCRIPTS) + "}"),
    # a₁ -> a_{1}
    (re.compile(r"[₀₁₂₃₄₅₆₇₈₉]+"), lambda match: "_{" + match.group().translate(_SUBSCRIPTS) + "}"),
    # √(3x) -> \sqrt{3x}
    (re.compile(r"√\s*(\d+|[A-Za-z]|\([^()]*\))"), lambda match: "\\sqrt{" + match.group(1).strip("()") + "}"),
    # 1{,}000 -> 1000
    (re.compile(r"(?<=\d)(?:\\[,;:! ]|\{,\}|,\s*\\!|~)\s*(?=\d{3}(?!\d))"), ""),
    # 5\,x -> 5 x
    (re.compile(r"(?<!\\)\\(?:[,;:! ]|(?:quad|qquad|thinspace|enspace)(?![A-Za-z]))|~"), " "),
    # \mathbf{i} -> \hat{i}
    (_VECTOR, r"\\hat{\1}"),
    # \mathbf{1 4} -> 14
    (
        re.compile(r"\\(?:mathbf|boldsymbol|bm|mathrm)\s*\{([\d\s.,]+)\}"),
        lambda match: re.sub(r"\s", "", match[1]),
    ),
    # \text{7 cm} ->  7 cm
    (
        _TEXT_WRAPPER,
        lambda match: (
            match[1]
            if len(match[1].strip()) < 2 and not match[1].startswith((" ", "~")) and match.group()[1:5] != "text"
            else f" {match[1]} "
        ),
    ),
    # 0.1 \mu m -> 0.1 µm
    (re.compile(r"\\mu\s*(?=[mgsFACVHWJLN]\b)"), "µ"),
    # is negative 5 -> is -5
    (re.compile(r"(^\s*|[A-Za-z:=,]\s+)(?:negative|minus)\s+(?=[\d\\$])", re.IGNORECASE), r"\1-"),
    # 1'000'000 -> 1000000
    (re.compile(r"(?<![\d.])\d{1,3}(?:(['_])\d{3})(?:\1\d{3})*(?!\d)"), lambda match: re.sub(r"\D", "", match.group())),
    # 1 000 -> 1000
    (re.compile(r"(?<![\d.])\d{1,3}(?: \d{3})+(?![\d/])"), lambda match: match.group().replace(" ", "")),
    # 1,00,000 -> 100000
    (re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])"), lambda match: match.group().replace(",", "")),
    # 0.1\overline{6} -> \frac{15}{90}
    (
        re.compile(
            r"(?<![\d.])(\d*)\.(\d*)(\\overline\s*\{\s*\d+\s*\}|\\dot\s*\{?\d\}?(?:\d*\\dot\s*\{?\d\}?)?|\(\d+\))"
        ),
        _repeating,
    ),
    # -1./3 -> -1/3
    (re.compile(r"(?<=\d)\.(?=\s*[/*+)]|$)"), ""),
    # 1.5e-3 -> 1.5\times10^{-3}
    (re.compile(r"(?<![A-Za-z\\_{])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\d.])"), r"\1\\times10^{\2}"),
    # np.arcsin(x) -> arcsin(x)
    (re.compile(r"\b(?:np|numpy|math|sympy|sp)\.(?=[a-z])"), ""),
    # sqrt{2} -> \sqrt {2}
    (re.compile(rf"(?<![A-Za-z\\])({_NAMES})(?![A-Za-z])"), r"\\\1 "),
    # 5 percent -> 5\%
    (re.compile(r"\s*\b(?:percent|per cent|pct)\b"), r"\\%"),
    # 1,000, 2,500 -> 1000, 2500
    (re.compile(r"(?<![\d,.(\[{])\d{1,3}(?:,\d{3})+(?!\d|,\d)"), lambda match: match.group().replace(",", "")),
    # 2 1/3 -> 2\frac{1}{3}
    (re.compile(r"(?<![\d/^.])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d^])"), r"\1\\frac{\2}{\3}"),
    # 3 x 10^5 -> 3\times 10^5
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)"), r"\\times "),
    # x**2 -> x^2
    (re.compile(r"\*\*"), "^"),
    # \varnothing -> \emptyset
    (re.compile(r"\\varnothing(?![a-zA-Z])"), r"\\emptyset"),
    # \varphi -> \phi
    (re.compile(r"\\var(?=(?:phi|epsilon|theta|rho|sigma|kappa)(?![a-zA-Z]))"), r"\\"),
    # x \leqslant 1 -> x \le 1
    (re.compile(r"\\(le|ge)(?:q|qslant|qq)?(?![A-Za-z])"), r"\\\1"),
    # x <= 1 -> x \le  1
    (re.compile(r"<="), r"\\le "),
    # x >= 1 -> x \ge  1
    (re.compile(r">="), r"\\ge "),
    # \lbrace 1 \rbrace -> \{ 1 \}
    (re.compile(r"\\(?:lbrace|rbrace)(?![A-Za-z])"), lambda match: "\\{" if "l" in match.group() else "\\}"),
    # \langle 1 \rangle -> ( 1 )
    (re.compile(r"\\[lr]angle(?![A-Za-z])"), lambda match: "(" if "l" in match.group()[:2] else ")"),
    # \lvert x \rvert -> | x |
    (re.compile(r"\\(?:[lr]?vert|mid)(?![A-Za-z])"), "|"),
    # \sqrt(3) -> \sqrt{3}
    (re.compile(r"\\sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
)

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d+)(?:\.\d+)?|\.\d+"
_PLAIN = re.compile(
    rf"(?P<sign>[+-]?)\s*\\?\$?\s*(?P<top>{_DECIMAL})"
    r"(?:\s*/\s*(?P<bottom>\d+)|(?:[eE]|\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?)(?P<power>[+-]?\d{1,4})\}?)?"
)
_FRACTION = re.compile(
    r"(?P<sign>[+-]?)\s*\\[dtc]?frac\s*\{\s*(?P<top>-?\d+)\s*\}\s*\{\s*(?P<bottom>\d+)\s*\}(?P<power>)"
)
_LONGEST_PLAIN = 64
_ZERO = Fraction(0)
_FEWEST_DIGITS = 6  # of a decimal that may stand for a value that it only rounds


class PlainNumber(NamedTuple):
    """A number that needs no computer algebra: its exact value, and the unit in the last place of a long decimal.

    `unit_in_last_place` is 0 for integers, fractions, and decimals of fewer than six digits behind the point (or of a
    mantissa): they mean exactly what they say.
    """

    value: Fraction
    unit_in_last_place: Fraction


def unwrap(text: str) -> str:
    r"""Strip a final stop and all that encloses `text`: dollars, ``\( \)``, ``\[ \]``, ``**``, ``\text{}``."""
    previous = None
    while text != previous:
        previous = text
        text = _FINAL_STOP.sub("", text.strip())
        if text.endswith("\\") and not text.endswith("\\\\"):
            text = text[:-1]  # of "35\\ ", whose space is gone
        for opening, closing in _WRAPPERS:
            inside = text[len(opening) : len(text) - len(closing)]
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                text = inside if opening not in inside and closing not in inside else text
        if text.startswith("{") and text.endswith("}") and "}" not in text[1:-1].replace("\\}", ""):
            text = text[1:-1]
        if whole := _TEXT_WRAPPER.fullmatch(text):
            text = whole.group(1)
            if "math" in whole.group()[:6] and not re.search(r"[^\d\s.,]", text):
                text = re.sub(r"\s", "", text)  # digits set apart: \mathbf{1 4}
    return text


def clean(text: str) -> str:
    """Rewrite one answer as LaTeX: Unicode signs, thin spaces, thousands, scientific and mixed numbers."""
    text = _DELIMITERS.sub(" ", _BOLD.sub("", text.translate(_CHARACTERS)))
    text = unwrap(_DOTTED.sub(_repeating, _INLINE.sub(r" \1 ", text)))
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)  # type: ignore[arg-type]
    return unwrap(text)


def plain_number(text: str) -> PlainNumber | None:
    r"""Read an integer, decimal or fraction (1,234.50, -3/4, ``\frac{3}{4}``) exactly; returns None for other text."""
    if len(text) > _LONGEST_PLAIN:
        return None
    if text.isdecimal() and text.isascii():  # most answers; the rest of this function takes five times as long
        return PlainNumber(Fraction(int(text)), _ZERO)
    match = _PLAIN.fullmatch(text) or _FRACTION.fullmatch(text)
    if match is None:
        return None
    top, bottom = match["top"].replace(",", ""), int(match["bottom"] or 1)
    if bottom == 0:
        return None
    value = Fraction(top) if match["sign"] != "-" else -Fraction(top)
    power = Fraction(10) ** int(match["power"]) if match["power"] else 1
    decimals, digits = len(top.partition(".")[2]), len(top.replace(".", "").lstrip("0"))
    long = decimals > 0 and (digits if match["power"] else min(decimals, digits)) >= _FEWEST_DIGITS
    return PlainNumber(value * power / bottom, Fraction(1, 10**decimals) * power if long else _ZERO)


def same_number(a: PlainNumber, b: PlainNumber) -> bool:
    """Compare exactly; a decimal of six digits or more may be the other number, rounded or cut."""
    if a.value == b.value:
        return True
    coarse, fine = (a, b) if a.unit_in_last_place > b.unit_in_last_place else (b, a)
    return coarse.unit_in_last_place > fine.unit_in_last_place and same_rounded(coarse, fine.value)


def same_rounded(decimal: PlainNumber, value: Fraction) -> bool:
    """Whether `decimal` is `value` rounded or cut to its last place; always False for a short decimal."""
    unit = decimal.unit_in_last_place
    return unit > 0 and decimal.value / unit in (round(value / unit), math.trunc(value / unit))


def as_words(text: str) -> str | None:
    r"""Read `text` as lower-case words ("(B)" and "\text{B}" are "b"); returns None if it is not only words."""
    bare = _TEXT_WRAPPER.sub(r"\1", unwrap(text)).replace("\\ ", " ").replace("~", " ")
    bare = unwrap(bare).strip("!()[]{}\"'“”‘’ ").casefold()
    words = " ".join(bare.split())
    return words if re.fullmatch(r"[^\W\d_](?:[^\W\d_]|['’\- ])*", words) else None
