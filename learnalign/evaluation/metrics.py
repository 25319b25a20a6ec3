"""Greedy accuracy, pass@k, avg@k and their confidence intervals, from the counts of correct completions per question; mean ± std."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from learnalign.errors import RunError

GREEDY = "greedy"
Z = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric's value over `questions`, with the bounds of its 95 % confidence interval.

    Of several rounds, `value` is the mean of the values in `rounds`, `std` their sample standard deviation (divisor R − 1)
    and `population_std` that with divisor R, as LearnAlign's Table 8 has it: of 16 standard deviations of AIME 2024's 30
    questions, three rounds give 14 with divisor 3 and 1 with divisor 2. None for one round.
    """

    value: float
    low: float
    high: float
    questions: int
    std: float | None = None
    population_std: float | None = None
    rounds: tuple[float, ...] = ()


def pass_at_k(scored: int, correct: int, k: int) -> float:
    """1 − C(n−c, k) / C(n, k): the unbiased estimate of solving a question in k tries, from c correct of n ≥ k scored."""
    assert 0 <= correct <= scored
    assert 1 <= k <= scored
    if scored - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(scored - correct + 1, scored + 1))


def metric(name: str, counts: Sequence[tuple[int, int]]) -> Estimate:
    """`greedy`, `pass@K` or `avg@K` of questions with (scored, correct) completions, without those with fewer than K scored.

    greedy is of one completion a question, decoded greedily; avg@K is the mean fraction of correct completions, of K or
    more. Raises RunError if no question has K.
    """
    values = [value for scored, correct in counts if (value := _of_question(name, scored, correct)) is not None]
    if not values:
        k, most = k_of(name), max((scored for scored, _ in counts), default=0)
        raise RunError(f"{name}: no question has {k} scored completions (the most is {most}); see the reasons above")
    return estimate(values)


def k_of(name: str) -> int:
    """K of `pass@K` or `avg@K`, 1 of `greedy`."""
    return 1 if name == GREEDY else int(name.partition("@")[2])


def _of_question(name: str, scored: int, correct: int) -> float | None:
    """One question's value; None with fewer than K scored."""
    if scored < k_of(name):
        return None
    return correct / scored if name.startswith("avg") else pass_at_k(scored, correct, k_of(name))


def metric_over_rounds(name: str, rounds: Sequence[Mapping[str, tuple[int, int]]]) -> Estimate:
    """`name` in independent evaluations, each with (scored, correct) by question id: mean ± std (LearnAlign, App. E).

    The interval is that of the questions' means over the rounds: rounds of one question are not independent either.
    """
    values = tuple(metric(name, list(one.values())).value for one in rounds)
    if len(rounds) == 1:
        return replace(metric(name, list(rounds[0].values())), rounds=values)
    return replace(
        estimate(list(values_by_question(name, rounds).values())),
        value=statistics.fmean(values),
        std=statistics.stdev(values),
        population_std=statistics.pstdev(values),
        rounds=values,
    )


def values_by_question(name: str, rounds: Sequence[Mapping[str, tuple[int, int]]]) -> dict[str, float]:
    """A question's value of `name`, the mean over the rounds in which it has enough scored completions; by id."""
    values: dict[str, list[float]] = {}
    for one in rounds:
        for id, (scored, correct) in one.items():
            if (value := _of_question(name, scored, correct)) is not None:
                values.setdefault(id, []).append(value)
    return {id: statistics.fmean(each) for id, each in values.items()}


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
    """The metrics to report for so many completions a question: `name`, then pass@1, 2, 4 … and avg@all of sampled ones."""
    if name == GREEDY:
        return [name]
    ks = [2**i for i in range(completions.bit_length()) if 2**i <= completions]
    names = [name, *(f"pass@{k}" for k in dict.fromkeys([*ks, completions]))]
    return list(dict.fromkeys([*names, f"avg@{completions}"]))
