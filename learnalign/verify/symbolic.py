"""Formulas: parses LaTeX to exact sympy expressions, and decides whether two are equal.

Numbers stay exact (0.1 is 1/10), and a power too large to compute becomes a symbol. Runs in worker processes only:
parsing a policy's text can hang or eat memory.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import NormalizationConfig, latex2sympy, normalize_latex
from math_verify import verify
from sympy.core.function import UndefinedFunction
from sympy.ntheory import perfect_power

from learnalign.verify.notation import PlainNumber, same_rounded

# Silence the warning that math-verify's SIGALRM timeouts are off: the parent enforces the limit.
logging.getLogger("math_verify").setLevel(logging.ERROR)

_MOST_POWER = 5_000  # of an expression that is evaluated at a point
MOST_DIGITS = 20_000  # of a number that is computed
_NORMALIZATION = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
_SMALL_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|rho|sigma|tau|upsilon|phi|chi|psi|omega"
)
_OTHERS = "Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|hbar|ell"
_UNCHANGED = re.compile(rf"[a-zC]|\\(?:{_SMALL_GREEK})")
# A name that latex2sympy would change or refuse: a capital (it ignores case), an accent, a subscript, a prime.
_NAME = re.compile(
    r"(?P<skip>\\mathbb\s*\{[A-Z]\}|\\(?:begin|end)\s*\{[^}]*\}|\\circ)"
    r"|(?P<name>\\(?:vec|hat|bar|overline|overrightarrow|tilde|mathbf|mathcal|widehat|dot)\s*\{\s*[A-Za-z]+\s*\}"
    rf"|\\(?:{_SMALL_GREEK}|{_OTHERS})(?![A-Za-z])|(?<!\\)[A-Za-z])(?P<mark>\s*_\s*(?:\{{[^{{}}]*\}}|\\[A-Za-z]+|[A-Za-z0-9])|'+)*"
    r"|\\[A-Za-z]+"
)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\b.*\\circ", re.DOTALL)
_ARGUMENTS = re.compile(r"\\?(gcd|lcm)\s*\(([^()]*)\)")
# What latex2sympy reads as a product of letters (angle ABC, p and q), or leaves out (the minutes of 5').
_FOREIGN = re.compile(
    r"\\(?:angle|triangle|odot|parallel|perp|land|lor|neg|wedge|vee|cong|sim|iff|implies|Rightarrow|rightarrow|forall|exists)"
    r"(?![A-Za-z])|\d\s*'|(?<!_)(?<!frac\s)(?<!frac)(?<![\d.])\d+\s+\d"
)
_POINTS = ((97, 14, 71), (53, 22, 37), (-41, 31, 29))  # numerator, step, denominator of the symbols' values


def parse(text: str) -> Any:
    """Parse one formula to an exact sympy object; returns None if it is not one or is undefined (1/0)."""
    if _FOREIGN.search(text) or any(re.search(r"[a-z]", match[2]) for match in _ARGUMENTS.finditer(text)):
        return None  # of variables: latex2sympy computes gcd(a, b) = 1
    normalized = normalize_latex(_NAME.sub(_encoded, text), _NORMALIZATION)
    if not normalized:
        return None
    try:
        value = latex2sympy(normalized, is_real=True, convert_degrees=_TRIGONOMETRY.search(normalized) is not None)
        value = exact(value) if isinstance(value, sympy.Basic) else None
    except (MemoryError, RecursionError):
        raise
    except Exception:  # latex2sympy raises bare Exceptions, and sympy anything, if it is not mathematics
        return None
    if (
        value is None
        or value.has(sympy.zoo, sympy.nan, sympy.Derivative)
        or any(isinstance(s, str) for s in value.args)
    ):
        return None
    letter = sympy.Symbol("i")
    return value.subs(letter, sympy.I) if letter in value.free_symbols else value


def _encoded(match: re.Match[str]) -> str:
    name = match["name"]
    if name is None or (match["mark"] is None and _UNCHANGED.fullmatch(name)):
        return match.group()
    spelled = re.sub(r"[\s\\{}]|text|mathrm", "", match.group())
    return "q_{" + spelled.encode().hex() + "}"


def exact(value: Any) -> Any:
    """Evaluate an unevaluated sympy object exactly, from the leaves up; powers beyond `MOST_DIGITS` become symbols."""
    if isinstance(value, sympy.Float):
        return sympy.Rational(str(value))
    if isinstance(value, sympy.Symbol):
        return sympy.Symbol(value.name)
    if not value.args:
        return value
    arguments = [exact(argument) for argument in value.args]
    if isinstance(value, sympy.UnevaluatedExpr):
        return arguments[0]
    if isinstance(value, sympy.Pow):
        return _power(*arguments)
    if isinstance(value, sympy.factorial | sympy.factorial2) and arguments[0].is_Integer and arguments[0] > 5_000:
        return _huge(f"{value.func.__name__}({arguments[0]})")
    if isinstance(value, sympy.binomial) and arguments[0].is_Integer and arguments[0] > 50_000:
        return _huge(f"binomial{tuple(arguments)}")
    built = value.func(*arguments)
    return built.doit() if isinstance(built, sympy.Sum | sympy.Product | sympy.Limit | sympy.Integral) else built


def _power(base: Any, exponent: Any) -> Any:
    if not base.is_number and exponent.is_Integer and abs(exponent) > _MOST_POWER:
        return sympy.Pow(base, _huge(str(exponent)))
    if not (base.is_Integer and exponent.is_Integer and abs(base) > 1):
        if base.is_Rational and exponent.is_Integer and base.q > 1 and abs(exponent) > 1_000:
            return _power(sympy.Integer(base.p), exponent) / _power(sympy.Integer(base.q), exponent)
        return sympy.Pow(base, exponent)
    if abs(exponent) * sympy.Integer(len(bin(abs(int(base)))) - 2) * 3 <= 10 * MOST_DIGITS:
        return sympy.Pow(base, exponent)
    sign = -1 if base < 0 and exponent % 2 else 1
    root, order = perfect_power(abs(base)) or (abs(base), 1)
    power = _huge(f"{root}^{abs(exponent) * order}")
    return sign * (power if exponent > 0 else 1 / power)


def _huge(name: str) -> sympy.Symbol:
    return sympy.Symbol("huge " + name)


def same_value(gold: Any, answer: Any) -> bool:
    """Whether two sympy objects are equal: exactly if both are numbers, else at several points or by math-verify."""
    if gold == answer:
        return True
    if not (isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)):
        return _proved(gold, answer)
    names = {symbol.name for symbol in gold.free_symbols}
    if sympy.Symbol("j") in answer.free_symbols and "j" not in names:
        answer = answer.subs(sympy.Symbol("j"), sympy.I)
    elif "j" in names and sympy.Symbol("j") not in answer.free_symbols:
        gold = gold.subs(sympy.Symbol("j"), sympy.I)
    if gold.is_Rational and answer.is_Rational:
        return gold == answer
    if gold.is_infinite or answer.is_infinite:
        return False
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    agreed = True
    for first, step, bottom in _POINTS if symbols else _POINTS[:1]:
        point = {symbol: sympy.Rational(first + step * n, bottom) for n, symbol in enumerate(symbols)}
        same = _same_at(gold, answer, point)
        if same is False and first > 0:
            return False
        agreed = agreed and same is True
    return agreed or _proved(gold, answer)


def _same_at(gold: Any, answer: Any, point: dict[Any, Any]) -> bool | None:
    """Whether two expressions agree to 30 digits at a point; None if either has no value there."""
    try:
        a, b = gold.subs(point), answer.subs(point)
        difference = a - b
        if difference.is_Rational:
            return bool(difference == 0)
        size, difference = abs(sympy.N(a, 30, maxn=400)), abs(sympy.N(difference, 30, maxn=400))
        return bool(difference <= max(size, sympy.Rational(1, 10**60)) * sympy.Rational(1, 10**30))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, AttributeError, NotImplementedError):
        return None


def _proved(gold: Any, answer: Any) -> bool:
    return bool(verify(gold, answer, timeout_seconds=None, allow_set_relation_comp=True, raise_on_error=True))


def same_decimal(plain: PlainNumber, value: Any) -> bool:
    """Whether the decimal `plain` is `value`, a constant, rounded or cut to its digits (at least six)."""
    if not plain.unit_in_last_place or not isinstance(value, sympy.Expr) or not value.is_number or not value.is_real:
        return False
    digits = sympy.Rational(str(sympy.N(value, 40, maxn=400)))
    return same_rounded(plain, Fraction(int(digits.p), int(digits.q)))


def has_unknown_function(value: Any) -> bool:
    """Whether an undefined function, f(x), is in `value`."""
    return any(isinstance(part.func, UndefinedFunction) for part in sympy.preorder_traversal(value))
