"""Tasks of standard input and output: what must be printed is computed in two ways, neither of which is one of the programs."""

from __future__ import annotations

import calendar
import collections
import datetime
import functools
import itertools
import math
import operator
import random
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from tests.verify.code.programs.task import Task

_random = random.Random(0)


def _numbers(text: str) -> list[int]:
    return list(map(int, text.split()))


def _best_sum(text: str) -> str:
    numbers = _numbers(text)[1:]
    return str(max(sum(numbers[i:j]) for i in range(len(numbers)) for j in range(i + 1, len(numbers) + 1)))


def _best_sum_again(text: str) -> str:
    sums = list(itertools.accumulate(_numbers(text)[1:], initial=0))
    least = itertools.accumulate(sums, min)
    return str(max(high - low for high, low in zip(sums[1:], least, strict=False)))


def _islands(text: str) -> str:
    rows = text.split()[2:]
    land = {(r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if mark == "#"}
    count = 0
    while land:
        todo, count = [land.pop()], count + 1
        while todo:
            r, c = todo.pop()
            near = {(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)} & land
            land -= near
            todo += near
    return str(count)


def _islands_again(text: str) -> str:
    rows = text.split()[2:]
    label = {(r, c): (r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if mark == "#"}
    changed = True
    while changed:
        changed = False
        for r, c in label:
            least = min(label.get(at, label[r, c]) for at in ((r, c), (r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)))
            changed |= least != label[r, c]
            label[r, c] = least
    return str(len(set(label.values())))


def _ways(text: str) -> str:
    n, *coins = _numbers(text)
    coins = coins[1:]
    ways = [1] + [0] * n
    for coin in coins:
        for amount in range(coin, n + 1):
            ways[amount] += ways[amount - coin]
    return str(ways[n])


def _ways_again(text: str) -> str:
    n, _, *coins = _numbers(text)

    @functools.cache
    def ways(amount: int, kinds: int) -> int:
        if amount == 0:
            return 1
        return sum(ways(amount - used, kinds - 1) for used in range(0, amount + 1, coins[kinds - 1])) if kinds else 0

    return str(ways(n, len(coins)))


def _queries(text: str) -> str:
    n, _, *rest = _numbers(text)
    sums = list(itertools.accumulate(rest[:n], initial=0))
    pairs = zip(rest[n::2], rest[n + 1 :: 2], strict=True)
    return "\n".join(str(sums[high] - sums[low - 1]) for low, high in pairs)


def _queries_again(text: str) -> str:
    lines = text.splitlines()
    numbers = _numbers(lines[1])
    tree = [numbers[i : i + 100] for i in range(0, len(numbers), 100)]
    totals = [sum(part) for part in tree]
    answers = []
    for line in lines[2:]:
        low, high = _numbers(line)
        whole = range(-(-(low - 1) // 100), high // 100)
        if len(whole):
            answers.append(
                sum(totals[whole[0] : whole[-1] + 1])
                + sum(numbers[low - 1 : whole[0] * 100])
                + sum(numbers[(whole[-1] + 1) * 100 : high])
            )
        else:
            answers.append(sum(numbers[low - 1 : high]))
    return "\n".join(map(str, answers))


def _many_queries(n: int, q: int) -> str:
    numbers = " ".join(str(_random.randint(-9, 9)) for _ in range(n))
    spans = (sorted((_random.randint(1, n), _random.randint(1, n))) for _ in range(q))
    return f"{n} {q}\n{numbers}\n" + "".join(f"{low} {high}\n" for low, high in spans)


def _steps(text: str) -> str:
    rows = text.split()[2:]
    open_ = {(r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if mark == "."}
    goal, front, seen, steps = (len(rows) - 1, len(rows[0]) - 1), {(0, 0)} & open_, set(), 0
    while front and goal not in front:
        seen |= front
        front = {(r + a, c + b) for r, c in front for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))} & open_ - seen
        steps += 1
    return str(steps if front else -1)


def _steps_again(text: str) -> str:
    rows = text.split()[2:]
    far = {(r, c): math.inf for r, row in enumerate(rows) for c, mark in enumerate(row) if mark == "."}
    if (0, 0) in far:
        far[0, 0] = 0
    for _ in far:
        for r, c in far:
            far[r, c] = min(
                far[r, c], *(1 + far.get(at, math.inf) for at in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)))
            )
    steps = far.get((len(rows) - 1, len(rows[0]) - 1), math.inf)
    return str(-1 if steps == math.inf else steps)


def _table(text: str) -> str:
    rows = [line.split() for line in text.splitlines()[1:]]
    return "\n".join(name for name, _ in sorted(((n, int(s)) for n, s in rows), key=lambda row: (-row[1], row[0])))


def _table_again(text: str) -> str:
    rows = sorted(line.split() for line in text.splitlines()[1:])
    return "\n".join(name for name, _ in sorted(rows, key=lambda row: int(row[1]), reverse=True))


def _gcd_and_lcm(text: str) -> str:
    a, b = _numbers(text)
    least = Fraction(a, b)
    return f"{a // least.numerator} {a * least.denominator}"


def _day_of_year(text: str) -> str:
    year, month, day = (int(part) for part in text.split("-"))
    return str(day + sum(calendar.monthrange(year, before)[1] for before in range(1, month)))


def _bits(text: str) -> str:
    return "\n".join(str(sum(int(n) >> i & 1 for i in range(64))) for n in text.split()[1:])


TASKS = (
    Task(
        "pairs_added",
        ["1 2\n3 4\n", "0 0\n", "-5 3\n10 -10\n7 7\n", "99999999999 1\n"],
        lambda text: "\n".join(str(sum(_numbers(line))) for line in text.splitlines()),
        lambda text: "\n".join(str(a - -b) for a, b in zip(_numbers(text)[::2], _numbers(text)[1::2], strict=True)),
        by_tokens=False,
    ),
    Task(
        "sum_of_list",
        ["3\n1 2 3\n", "0\n\n", "1\n-7\n", "4\n5 5\n5 5\n", "2\n1000000000000 1\n"],
        lambda text: str(sum(_numbers(text)[1:])),
        lambda text: str(functools.reduce(operator.add, _numbers(text)[1:], 0)),
    ),
    Task(
        "best_sum",
        ["5\n-2 1 -3 4 -1\n", "1\n-5\n", "4\n1 2 3 4\n", "3\n-3 -1 -2\n", "6\n2 -1 2 3 -9 4\n"],
        _best_sum,
        _best_sum_again,
    ),
    Task(
        "word_counts",
        ["b a b\n", "x\n", "one two\ntwo three three three\n", "Z z\n"],
        lambda text: "\n".join(f"{word} {count}" for word, count in sorted(collections.Counter(text.split()).items())),
        lambda text: "\n".join(f"{word} {text.split().count(word)}" for word in sorted(set(text.split()))),
        by_tokens=False,
    ),
    Task(
        "ranking",
        ["3\nann 5\nbob 7\ncid 5\n", "1\nx 0\n", "4\nd 1\nc 1\nb 1\na 10\n", "2\na 9\nb 10\n"],
        _table,
        _table_again,
    ),
    Task(
        "average",
        ["2\n1 2\n", "3\n1 1 2\n", "3\n1 2 2\n", "1\n5\n", "3\n10 20 31\n", "4\n-1 -1 -1 0\n"],
        lambda text: str(
            (Decimal(sum(_numbers(text)[1:])) / _numbers(text)[0]).quantize(Decimal("0.0001"), ROUND_HALF_UP)
        ),
        lambda text: f"{math.fsum(_numbers(text)[1:]) / (len(text.split()) - 1):.4f}",
    ),
    Task(
        "circle",
        ["1\n", "0\n", "2.5\n", "1000\n", "0.001\n"],
        lambda text: f"{math.pi * float(text) ** 2:.9f}",
        lambda text: f"{Decimal(text) * Decimal(text) * Decimal('3.14159265358979323846'):.9f}",
        comparison="rcmp6",
    ),
    Task(
        "digit_sum",
        ["12345\n", "0\n", "9" * 400 + "\n", "-407\n"],
        lambda text: str(sum(int(c) for c in text if c.isdigit())),
        lambda text: str(sum(d * text.count(str(d)) for d in range(10))),
    ),
    Task(
        "palindromes",
        ["4\nabba\nabc\nx\nabca\n", "1\nAa\n", "2\nnoon\nmoon\n", "4\nab\nba\naa\nbb\n"],
        lambda text: "\n".join("YES" if word == word[::-1] else "NO" for word in text.split()[1:]),
        lambda text: "\n".join(
            "YES" if all(map(operator.eq, word, reversed(word))) else "NO" for word in text.split()[1:]
        ),
        by_tokens=False,
    ),
    Task(
        "gcd_and_lcm",
        ["12 18\n", "1 1\n", "7 13\n", "1000000007 998244353\n", "100 10\n"],
        lambda text: f"{math.gcd(*_numbers(text))} {math.lcm(*_numbers(text))}",
        _gcd_and_lcm,
        by_tokens=False,
    ),
    Task(
        "distinct",
        ["5\n1 2 2 3 1\n", "1\n4\n", "3\n0 0 0\n", "4\n-1 1 -1 01\n"],
        lambda text: str(len(set(_numbers(text)[1:]))),
        lambda text: str(sum(1 for _ in itertools.groupby(sorted(_numbers(text)[1:])))),
    ),
    Task(
        "islands",
        ["3 4\n##..\n#..#\n..##\n", "1 1\n.\n", "2 2\n#.\n.#\n", "3 3\n###\n#.#\n###\n", "1 5\n#.#.#\n"],
        _islands,
        _islands_again,
    ),
    Task(
        "coin_ways",
        ["5\n3\n1 2 5\n", "0\n1\n7\n", "3\n1\n2\n", "100\n4\n50 25 10 5\n", "2000\n5\n1 5 10 25 50\n"],
        _ways,
        _ways_again,
        seconds=2.0,
    ),
    Task(
        "range_sums",
        ["3 2\n1 2 3\n1 3\n2 2\n", "1 1\n-4\n1 1\n", _many_queries(20_000, 2_000)],
        _queries,
        _queries_again,
        seconds=1.0,
        by_tokens=False,
    ),
    Task(
        "steps",
        [
            "3 3\n...\n.#.\n...\n",
            "1 1\n.\n",
            "2 2\n.#\n#.\n",
            "3 4\n.#..\n.#.#\n....\n",
            "5 5\n.....\n####.\n.....\n.####\n.....\n",
        ],
        _steps,
        _steps_again,
    ),
    Task(
        "day_of_year",
        ["2024-03-01\n", "2023-03-01\n", "1900-12-31\n", "2000-12-31\n", "2021-01-01\n"],
        lambda text: str(datetime.date.fromisoformat(text.strip()).timetuple().tm_yday),
        _day_of_year,
    ),
    Task(
        "fizz",
        ["15\n", "1\n", "3\n", "30\n"],
        lambda text: "\n".join(
            {(True, True): "FizzBuzz", (True, False): "Fizz", (False, True): "Buzz"}.get(
                (n % 3 == 0, n % 5 == 0), str(n)
            )
            for n in range(1, int(text) + 1)
        ),
        lambda text: "\n".join("Fizz" * (not n % 3) + "Buzz" * (not n % 5) or str(n) for n in range(1, int(text) + 1)),
        by_tokens=False,
    ),
    Task(
        "bits",
        ["3\n5\n0\n255\n", "1\n1\n", "2\n9223372036854775807\n4294967296\n"],
        _bits,
        lambda text: "\n".join(str(bin(int(n)).count("1")) for n in text.split()[1:]),
    ),
    Task(
        "letters_shifted",
        ["3\nabc xyz\n", "0\nSame!\n", "26\nRound\n", "-1\nbcd A\n", "13\nHello, World\n"],
        lambda text: (lambda k, line: "".join(_shifted(c, int(k)) for c in line))(*text.split("\n")[:2]),
        lambda text: (lambda k, line: line.translate(_shift_table(int(k) % 26)))(*text.split("\n")[:2]),
        by_tokens=False,
    ),
    Task(
        "numbers_sorted",
        ["3\n3 1 2\n", "1\n5\n", "5\n10 9 2 2 -1\n", "0\n\n"],
        lambda text: " ".join(map(str, sorted(_numbers(text)[1:]))),
        lambda text: " ".join(str(n) for n in sorted(map(int, text.split("\n")[1].split()), key=lambda n: -n)[::-1]),
        by_tokens=False,
    ),
)


def _shifted(c: str, k: int) -> str:
    if not c.isalpha():
        return c
    letters = "abcdefghijklmnopqrstuvwxyz" if c.islower() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return letters[(letters.index(c) + k) % 26]


def _shift_table(k: int) -> dict[int, int]:
    return {base + i: base + (i + k) % 26 for base in (65, 97) for i in range(26)}
