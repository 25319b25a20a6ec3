"""pass@k, avg@k and their confidence intervals, from the counts of correct completions per question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learnalign.errors import RunError

Z = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric's value over `questions`, with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float
    questions: int


def pass_at_k(scored: int, correct: int, k: int) -> float:
    """1 − C(n−c, k) / C(n, k): the unbiased estimate of solving a question in k tries, from c correct of n ≥ k scored."""
    assert 0 <= correct <= scored
    assert 1 <= k <= scored
    if scored - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(scored - correct + 1, scored + 1))


def metric(name: str, counts: Sequence[tuple[int, int]]) -> Estimate:
    """`pass@K` or `avg@K` of questions with (scored, correct) completions, without those with fewer than K scored.

    avg@K is the mean fraction of correct completions, of K or more. Raises RunError if no question has K.
    """
    kind, _, number = name.partition("@")
    k = int(number)
    enough = [(scored, correct) for scored, correct in counts if scored >= k]
    if not enough:
        most = max((scored for scored, _ in counts), default=0)
        raise RunError(f"{name}: no question has {k} scored completions (the most is {most}); see the reasons above")
    if kind == "avg":
        return estimate([correct / scored for scored, correct in enough])
    return estimate([pass_at_k(scored, correct, k) for scored, correct in enough])


def estimate(values: Sequence[float]) -> Estimate:
    """Mean of per-question values in [0, 1], and Wilson's 95 % score interval for it.

    Questions are the sample: completions of one question are not independent. Wilson's interval is taken at the
    effective number of questions p(1−p) / Var(mean): their number if all values are 0 or 1, which gives Wilson's own
    interval, and more if values lie between.
    """
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / n**2
    effective = mean * (1 - mean) / variance if variance > 1e-12 else n
    low, high = wilson(mean, effective)
    return Estimate(value=mean, low=low, high=high, questions=n)


def wilson(proportion: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion observed in `n` trials."""
    centre = (proportion + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(proportion * (1 - proportion) / n + Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def ladder(name: str, completions: int) -> list[str]:
    """The metrics to report for so many completions a question: `name`, then pass@1, 2, 4 … and avg@all."""
    ks = [2**i for i in range(completions.bit_length()) if 2**i <= completions]
    names = [name, *(f"pass@{k}" for k in dict.fromkeys([*ks, completions]))]
    return list(dict.fromkeys([*names, f"avg@{completions}"]))
