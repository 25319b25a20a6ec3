"""Twenty kinds of tiny programming tasks with a constant k: the question, the rule, right and wrong programs by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LISTS: tuple[Any, ...] = ([1, 2, 3], [], [10, -4, 7, 7], [0], [5, 12, 9, 3, 6])
WORDS: tuple[Any, ...] = ("banana", "", "Ada", "xyz taxi", "one two")
NUMBERS: tuple[Any, ...] = (0, 1, 7, 23, 84, 100)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of task; `$k` in its texts stands for one of `values`.

    Args:
        question: what is asked.
        name: the function's name; None: a program of standard input and output.
        values: three values of k.
        inputs: one argument of the function per test, or the text of standard input.
        rule: (k, input) → the answer, by which the tests are made.
        right, wrong: programs.
        asserts: the tests are assertions, not calls.
    """

    question: str
    name: str | None
    values: tuple[Any, Any, Any]
    inputs: tuple[Any, ...]
    rule: Callable[[Any, Any], Any]
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    asserts: bool = False


def _ints(text: str) -> list[int]:
    return [int(word) for word in text.split()]


KINDS = (
    Kind(
        question="Write add(a): the list a with $k added to each number.",
        name="add",
        values=(2, 5, -1),
        inputs=LISTS,
        rule=lambda k, a: [x + k for x in a],
        right=("def add(a):\n    return [x + $k for x in a]", "def add(a):\n    return list(map(lambda x: x + $k, a))"),
        wrong=("def add(a):\n    return a + [$k]", "def add(a):\n    for x in a:\n        x += $k\n    return a"),
    ),
    Kind(
        question="Write above(a): how many numbers of a are greater than $k?",
        name="above",
        values=(3, 0, 6),
        inputs=LISTS,
        rule=lambda k, a: len([x for x in a if x > k]),
        right=(
            "def above(a):\n    return sum(x > $k for x in a)",
            "def above(a):\n    return len([x for x in a if x > $k])",
        ),
        wrong=(
            "def above(a):\n    return sum(x >= $k for x in a)",
            "def above(a):\n    return [x for x in a if x > $k]",
        ),
        asserts=True,
    ),
    Kind(
        question="Write multiples(n): the sum of the multiples of $k below n.",
        name="multiples",
        values=(3, 4, 7),
        inputs=NUMBERS,
        rule=lambda k, n: sum(x for x in range(n) if x % k == 0),
        right=(
            "def multiples(n):\n    return sum(range(0, n, $k))",
            "def multiples(n):\n    s = 0\n    for x in range(n):\n        if x % $k == 0:\n            s += x\n    return s",
        ),
        wrong=(
            "def multiples(n):\n    return sum(range(0, n + 1, $k))",
            "def multiples(n):\n    return len(range(0, n, $k))",
        ),
    ),
    Kind(
        question="Write from_end(a): the item number $k from the end of a (1 is the last), None if there is none.",
        name="from_end",
        values=(1, 2, 3),
        inputs=LISTS,
        rule=lambda k, a: a[len(a) - k] if k <= len(a) else None,
        right=(
            "def from_end(a):\n    return a[-$k] if len(a) >= $k else None",
            "def from_end(a):\n    try:\n        return a[-$k]\n    except IndexError:\n        return None",
        ),
        wrong=(
            "def from_end(a):\n    return a[-$k]",
            "def from_end(a):\n    return a[$k - 1] if len(a) >= $k else None",
        ),
    ),
    Kind(
        question="Write power(n): n to the power of $k, modulo 1000.",
        name="power",
        values=(2, 3, 10),
        inputs=NUMBERS,
        rule=lambda k, n: n**k % 1000,
        right=("def power(n):\n    return pow(n, $k, 1000)", "def power(n):\n    return n ** $k % 1000"),
        wrong=("def power(n):\n    return n * $k % 1000", "def power(n):\n    return n ** $k"),
        asserts=True,
    ),
    Kind(
        question="Write repeat(s): the text s $k times, with - between.",
        name="repeat",
        values=(1, 2, 4),
        inputs=WORDS,
        rule=lambda k, s: "-".join(s for _ in range(k)),
        right=('def repeat(s):\n    return "-".join([s] * $k)', 'def repeat(s):\n    return s + ("-" + s) * ($k - 1)'),
        wrong=('def repeat(s):\n    return (s + "-") * $k', "def repeat(s):\n    return '-'.join(s * $k)"),
    ),
    Kind(
        question="Write every(a): the first item of a and every $kth after it.",
        name="every",
        values=(2, 3, 4),
        inputs=LISTS,
        rule=lambda k, a: [x for i, x in enumerate(a) if i % k == 0],
        right=("def every(a):\n    return a[::$k]", "def every(a):\n    return [a[i] for i in range(0, len(a), $k)]"),
        wrong=("def every(a):\n    return a[$k::$k]", "def every(a):\n    return a[:$k]"),
    ),
    Kind(
        question="Write shout(s): s with its first $k letters in upper case.",
        name="shout",
        values=(1, 2, 3),
        inputs=WORDS,
        rule=lambda k, s: "".join(c.upper() if i < k else c for i, c in enumerate(s)),
        right=("def shout(s):\n    return s[:$k].upper() + s[$k:]",),
        wrong=(
            "def shout(s):\n    return s.upper()[:$k]",
            "def shout(s):\n    return s[:$k + 1].upper() + s[$k + 1:]",
            "def shout(s):\n    s[:$k] = s[:$k].upper()\n    return s",
        ),
        asserts=True,
    ),
    Kind(
        question="Write clamp(a): a with numbers below 0 set to 0 and above $k to $k.",
        name="clamp",
        values=(5, 7, 9),
        inputs=LISTS,
        rule=lambda k, a: [0 if x < 0 else k if x > k else x for x in a],
        right=("def clamp(a):\n    return [min(max(x, 0), $k) for x in a]",),
        wrong=(
            "def clamp(a):\n    return [max(min(x, 0), $k) for x in a]",
            "def clamp(a):\n    return [x for x in a if 0 <= x <= $k]",
            "def clamp(a):\n    return [min(x, $k) for x in a]",
        ),
    ),
    Kind(
        question="Write pad(n): n as text, with zeros before it up to $k digits.",
        name="pad",
        values=(2, 3, 5),
        inputs=NUMBERS,
        rule=lambda k, n: "0" * (k - len(str(n))) + str(n),
        right=("def pad(n):\n    return str(n).zfill($k)", 'def pad(n):\n    return f"{n:0$kd}"'),
        wrong=("def pad(n):\n    return str(n).rjust($k)", 'def pad(n):\n    return "0" * $k + str(n)'),
    ),
    Kind(
        question="Write chunks(a): a cut into lists of $k, the last may be shorter.",
        name="chunks",
        values=(1, 2, 3),
        inputs=LISTS,
        rule=lambda k, a: [a[i : i + k] for i in range(len(a)) if i % k == 0],
        right=(
            "def chunks(a):\n    return [a[i:i + $k] for i in range(0, len(a), $k)]",
            "def chunks(a):\n    return [a[:$k]] + chunks(a[$k:]) if a else []",
        ),
        wrong=(
            "def chunks(a):\n    return [a[i:i + $k] for i in range(len(a) + 1)]",
            "def chunks(a):\n    return [a[i:i + $k] for i in range(0, len(a) - $k, $k)]",
        ),
    ),
    Kind(
        question="Write without(s): s without the letter $k.",
        name="without",
        values=("a", "e", "t"),
        inputs=WORDS,
        rule=lambda k, s: "".join(c for c in s if c != k),
        right=('def without(s):\n    return s.replace("$k", "")', 'def without(s):\n    return "".join(s.split("$k"))'),
        wrong=(
            'def without(s):\n    return s.replace("$k", " ")',
            'def without(s):\n    return s.lower().replace("$k", "")',
            'def without(s):\n    return [c for c in s if c != "$k"]',
        ),
        asserts=True,
    ),
    Kind(
        question="Read numbers on one line. Print the sum of those that $k divides.",
        name=None,
        values=(2, 3, 5),
        inputs=("1 2 3\n", "10 15 20 9\n", "7\n", "-6 6 30\n"),
        rule=lambda k, s: sum(x for x in _ints(s) if x % k == 0),
        right=("print(sum(x for x in map(int, input().split()) if x % $k == 0))",),
        wrong=(
            "print(sum(map(int, input().split())) // $k)",
            "print(sum(x for x in map(int, input().split()) if x % $k))",
            "print(sum(x % $k == 0 for x in map(int, input().split())))",
        ),
    ),
    Kind(
        question="Read a line. Print it $k times, one below the other.",
        name=None,
        values=(2, 3, 4),
        inputs=("hello\n", "a b\n", "7\n"),
        rule=lambda k, s: s * (k - 1) + s.rstrip("\n"),
        right=("s = input()\nfor _ in range($k):\n    print(s)", 'print("\\n".join([input()] * $k))'),
        wrong=("print(input() * $k)", "s = input()\nfor _ in range($k - 1):\n    print(s)", "print(*[input()] * $k)"),
    ),
    Kind(
        question="Read n. Print the multiples of $k from $k up to n, n too, on one line.",
        name=None,
        values=(2, 3, 5),
        inputs=("10\n", "30\n", "6\n"),
        rule=lambda k, s: " ".join(str(x) for x in range(1, int(s) + 1) if x % k == 0),
        right=("print(*range($k, int(input()) + 1, $k))",),
        wrong=(
            "print(*range(0, int(input()) + 1, $k))",
            "for x in range($k, int(input()) + 1, $k):\n    print(x)",
            "print(list(range($k, int(input()) + 1, $k)))",
        ),
    ),
    Kind(
        question="Read numbers, one a line, up to the end of the input. Print the largest of them, times $k.",
        name=None,
        values=(1, 2, 10),
        inputs=("1\n5\n3\n", "-4\n-2\n", "7\n", "10\n9\n8\n"),
        rule=lambda k, s: sorted(_ints(s))[-1] * k,
        right=("import sys\nprint(max(map(int, sys.stdin)) * $k)", "print(max(int(x) for x in open(0)) * $k)"),
        wrong=(
            "import sys\nprint(max(sys.stdin) * $k)",
            "m = 0\nfor x in open(0):\n    m = max(m, int(x))\nprint(m * $k)",
            "print(int(max(open(0).read().split())) * $k)",
        ),
    ),
    Kind(
        question="Read a number of units. Print how many groups of $k they make, and how many are left.",
        name=None,
        values=(7, 12, 60),
        inputs=("100\n", "59\n", "0\n", "60\n"),
        rule=lambda k, s: f"{(int(s) - int(s) % k) // k} {int(s) % k}",
        right=("print(*divmod(int(input()), $k))", "n = int(input())\nprint(n // $k, n % $k)"),
        wrong=(
            "n = int(input())\nprint(n / $k, n % $k)",
            "n = int(input())\nprint(n % $k, n // $k)",
            "print(int(input()) // $k)",
        ),
    ),
    Kind(
        question="Write count(s): how many letters of s are among $k?",
        name="count",
        values=("aeiou", "xyz", "nt"),
        inputs=WORDS,
        rule=lambda k, s: len([c for c in s if c in k]),
        right=(
            'def count(s):\n    return sum(c in "$k" for c in s)',
            'def count(s):\n    return sum(s.count(c) for c in "$k")',
        ),
        wrong=(
            'def count(s):\n    return s.count("$k")',
            'def count(s):\n    return len(set(s) & set("$k"))',
            'def count(s):\n    return sum(c not in "$k" for c in s)',
        ),
    ),
    Kind(
        question="Write order(a): the numbers of a by their remainder modulo $k, equal ones as they stand.",
        name="order",
        values=(2, 3, 10),
        inputs=LISTS,
        rule=lambda k, a: [x for r in range(k) for x in a if x % k == r],
        right=("def order(a):\n    return sorted(a, key=lambda x: x % $k)",),
        wrong=(
            "def order(a):\n    return sorted(a, reverse=True)",
            "def order(a):\n    return sorted(x % $k for x in a)",
            "def order(a):\n    return a.sort(key=lambda x: x % $k)",
        ),
        asserts=True,
    ),
    Kind(
        question="Write all_above(a): whether every number of a is greater than $k.",
        name="all_above",
        values=(0, 2, -5),
        inputs=LISTS,
        rule=lambda k, a: not [x for x in a if x <= k],
        right=(
            "def all_above(a):\n    return all(x > $k for x in a)",
            "def all_above(a):\n    return not a or min(a) > $k",
        ),
        wrong=(
            "def all_above(a):\n    return min(a) > $k",
            "def all_above(a):\n    return any(x > $k for x in a)",
            "def all_above(a):\n    return all(x < $k for x in a)",
        ),
    ),
)
