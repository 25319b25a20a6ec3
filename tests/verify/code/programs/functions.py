"""Tasks whose program is a function: what it must return is computed in two ways, neither of which is one of the programs."""

from __future__ import annotations

import bisect
import collections
import itertools
import math
import statistics
from typing import Any

from tests.verify.code.programs.task import Task


def _merge(spans: list[list[int]]) -> list[list[int]]:
    covered = {2 * x for low, high in spans for x in range(low, high + 1)}
    covered |= {2 * x + 1 for low, high in spans for x in range(low, high)}
    merged: list[list[int]] = []
    for x in sorted(covered):
        if merged and x == merged[-1][1] + 1:
            merged[-1][1] = x
        else:
            merged.append([x, x])
    return [[low // 2, high // 2] for low, high in merged]


def _merge_again(spans: list[list[int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    return merged


def _flat(value: Any) -> list[Any]:
    return [x for each in value for x in (_flat(each) if isinstance(each, list) else [each])]


def _prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def _sieve(n: int) -> int:
    marks = bytearray([1]) * max(n, 2)
    marks[0] = marks[1] = 0
    for d in range(2, math.isqrt(max(n, 2)) + 1):
        if marks[d]:
            marks[d * d :: d] = bytes(len(marks[d * d :: d]))
    return sum(marks[:n])


def _balanced(text: str) -> bool:
    while (shorter := text.replace("()", "").replace("[]", "").replace("{}", "")) != text:
        text = shorter
    return not text


def _balanced_again(text: str) -> bool:
    stack = []
    for mark in text:
        if mark in "([{":
            stack.append(")]}"["([{".index(mark)])
        elif not stack or stack.pop() != mark:
            return False
    return not stack


def _digits(n: int, base: int) -> str:
    return (_digits(n // base, base) if n >= base else "") + "0123456789abcdefghijklmnopqrstuvwxyz"[n % base]


TASKS = (
    Task(
        "sum_even",
        [[[]], [[1, 2, 3, 4]], [[-2, 7, 0]], [[5]], [[10, 10, -4, 3]]],
        lambda numbers: sum(x for x in numbers if x % 2 == 0),
        lambda numbers: sum(numbers) - sum(x for x in numbers if x % 2),
    ),
    Task(
        "reverse_words",
        [["a b c"], [""], ["one"], ["  two   words "], ["x, y! z?"]],
        lambda text: " ".join(text.split()[::-1]),
        lambda text: " ".join(reversed([word for word in text.split(" ") if word])),
    ),
    Task(
        "is_palindrome",
        [["A man, a plan, a canal: Panama"], [""], ["race a car"], ["0P"], [".,"], ["Abba"], ["12 21"]],
        lambda text: [c for c in text.lower() if c.isalnum()] == [c for c in text.lower() if c.isalnum()][::-1],
        lambda text: (lambda s: all(s[i] == s[-1 - i] for i in range(len(s))))(
            "".join(filter(str.isalnum, text)).upper()
        ),
    ),
    Task(
        "second_largest",
        [[[1, 2, 3]], [[5, 5, 4]], [[7]], [[]], [[-1, -2, -1]], [[2, 2]]],
        lambda numbers: sorted(set(numbers))[-2] if len(set(numbers)) > 1 else None,
        lambda numbers: max((x for x in numbers if x != max(numbers)), default=None),
    ),
    Task(
        "rotate",
        [[[1, 2, 3, 4, 5], 2], [[], 3], [[1], 10], [[1, 2, 3], 0], [[1, 2, 3], 4], [[1, 2, 3, 4], -1]],
        lambda items, k: [items[(i - k) % len(items)] for i in range(len(items))],
        lambda items, k: (lambda d: (d.rotate(k), list(d))[1])(collections.deque(items)),
    ),
    Task(
        "flatten",
        [[[1, [2, [3, []]], 4]], [[]], [[[[[5]]]]], [["ab", ["c", [1.5]]]], [[[], [[]]]]],
        _flat,
        lambda value: (lambda go: go(go, value))(
            lambda go, v: list(itertools.chain.from_iterable(go(go, x) if type(x) is list else (x,) for x in v))
        ),
    ),
    Task(
        "merge_intervals",
        [
            [[[1, 3], [2, 6], [8, 10], [15, 18]]],
            [[]],
            [[[1, 4], [4, 5]]],
            [[[6, 7], [1, 9], [2, 3]]],
            [[[0, 0], [2, 3]]],
        ],
        _merge,
        _merge_again,
    ),
    Task(
        "insert_at",
        [[[1, 3, 5, 6], 5], [[1, 3, 5, 6], 2], [[], 1], [[1, 3], 9], [[2, 2, 2], 2], [[4], 0]],
        lambda items, x: bisect.bisect_left(items, x),
        lambda items, x: sum(1 for item in items if item < x),
        seconds=1.0,
    ),
    Task(
        "median",
        [[[3, 1, 2]], [[1, 2, 3, 4]], [[5]], [[-1, 0, 10, 7]], [[0.1, 0.2, 0.3, 0.7]]],
        lambda numbers: float(statistics.median(numbers)),
        lambda numbers: (sorted(numbers)[(len(numbers) - 1) // 2] + sorted(numbers)[len(numbers) // 2]) / 2,
    ),
    Task(
        "transpose",
        [[[[1, 2, 3], [4, 5, 6]]], [[[7]]], [[[1], [2]]], [[]], [[[1, 2], [3, 4]]]],
        lambda rows: [list(column) for column in zip(*rows, strict=True)],
        lambda rows: [[row[i] for row in rows] for i in range(len(rows[0]) if rows else 0)],
    ),
    Task(
        "run_lengths",
        [["aaabcc"], [""], ["a"], ["abc"], ["zzzzzzzzzzzz"], ["aabaa"]],
        lambda text: [[mark, len(list(run))] for mark, run in itertools.groupby(text)],
        lambda text: (lambda cuts: [[text[a], b - a] for a, b in itertools.pairwise(cuts)])(
            [i for i in range(len(text)) if i == 0 or text[i] != text[i - 1]] + [len(text)]
        ),
    ),
    Task(
        "balanced",
        [["([]{})"], [""], ["(]"], ["((("], ["())("], ["{[}]"], ["}"]],
        _balanced,
        _balanced_again,
    ),
    Task(
        "count_primes",
        [[10], [0], [2], [3], [100], [1_000_000]],
        _sieve,
        lambda n: sum(map(_prime, range(n))) if n <= 100 else 78_498,  # π(10⁶), known
        seconds=2.0,
    ),
    Task(
        "pair_with_sum",
        [[[2, 7, 11, 15], 9], [[3, 3], 6], [[1, 2], 5], [[], 0], [[-3, 4, 3, 90], 0], [[5, 1, 5], 6]],
        lambda numbers, target: next(
            ([i, j] for j in range(len(numbers)) for i in range(j) if numbers[i] + numbers[j] == target), []
        ),
        lambda numbers, target: [
            *min(
                (
                    (j, i)
                    for i, j in itertools.combinations(range(len(numbers)), 2)
                    if numbers[i] + numbers[j] == target
                ),
                default=(),
            )
        ][::-1],
    ),
    Task(
        "to_base",
        [[10, 2], [0, 7], [255, 16], [35, 36], [2**70, 3], [7, 8]],
        _digits,
        lambda n, base: (
            {2: f"{n:b}", 16: f"{n:x}", 8: f"{n:o}"}.get(base)
            or next(text for text in [_digits(n, base)] if int(text, base) == n and (text == "0" or text[0] != "0"))
        ),
    ),
    Task(
        "unique",
        [[[3, 1, 3, 2, 1]], [[]], [["b", "a", "b"]], [[1, 1, 1]], [[[1], [2], [1]]]],
        lambda items: [item for i, item in enumerate(items) if item not in items[:i]],
        lambda items: [items[i] for i in sorted({items.index(item) for item in items})],
    ),
    Task(
        "group_anagrams",
        [[["eat", "tea", "tan", "ate", "nat", "bat"]], [[]], [[""]], [["a", "b", "a"]], [["ab", "BA", "abb"]]],
        lambda words: [
            sorted(group)
            for _, group in itertools.groupby(sorted(words, key=lambda w: (sorted(w), w)), key=lambda w: sorted(w))
        ],
        lambda words: [
            sorted(w for w in words if sorted(w) == key)
            for key in sorted(sorted(w) for w in {*map(lambda w: "".join(sorted(w)), words)})
        ],
    ),
    Task(
        "fibonacci",
        [[0], [1], [10], [90], [200_000]],
        lambda n: _fibonacci(n) % 1_000_000_007,
        lambda n: _fibonacci_again(n),
        seconds=2.0,
    ),
    Task(
        "count_words",
        [["the cat the dog"], [""], ["A a"], ["x  y\nx"], ["one"]],
        lambda text: dict(collections.Counter(text.split())),
        lambda text: {word: text.split().count(word) for word in text.split()},
    ),
    Task(
        "sorted_copy",
        [[[3, 1, 2]], [[]], [[5, 5, -5]], [[1]], [[10, 9, 8, 7, 100]]],
        lambda numbers: [sorted(numbers), numbers],
        lambda numbers: [list(min(itertools.permutations(numbers))), list(numbers)],
    ),
)


def _fibonacci(n: int) -> int:
    a, b = 0, 1
    for bit in bin(n)[2:]:
        a, b = a * (2 * b - a), a * a + b * b
        if bit == "1":
            a, b = b, a + b
    return a


def _fibonacci_again(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, (a + b) % 1_000_000_007
    return a
