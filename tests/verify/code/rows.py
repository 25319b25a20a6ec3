"""A hand-made row of every shape, with programs that are right and programs that are subtly wrong for it."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from dataclasses import dataclass
from typing import Any

from learnalign.columns import answer_of
from learnalign.config import DataConfig


@dataclass(frozen=True, kw_only=True)
class CodeRow:
    """A source row as its data set has it, the columns of its tests (`data.answer`), and programs for it.

    `tests` is how many there are; `wrong` programs fail at least one of them.
    """

    name: str
    row: dict[str, Any]
    answer: str | list[str]
    tests: int
    right: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def gold(self) -> str:
        """The gold answer, as the pool has it."""
        return answer_of(self.row, DataConfig(path="-", answer=self.answer))


def packed(tests: Any) -> str:
    """Private tests as LiveCodeBench packs them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


# Largest sum of a contiguous part of a list; a list in the first line is its length.
BEST_STDIN = """\
n = int(input())
best = total = None
for x in map(int, input().split()):
    total = x if total is None else max(x, total + x)
    best = total if best is None else max(best, total)
print(best)
"""
BEST_STDIN_READ = """\
import sys
data = list(map(int, sys.stdin.read().split()))[1:]
print(max(sum(data[i:j]) for i in range(len(data)) for j in range(i + 1, len(data) + 1)))
"""
# Takes the empty part for one: wrong if all numbers are negative.
BEST_EMPTY = """\
n = int(input())
best = total = 0
for x in map(int, input().split()):
    total = max(0, total + x)
    best = max(best, total)
print(best)
"""
BEST_DEBUG = """\
data = [int(input())] and list(map(int, input().split()))
print('n =', len(data))
print(max(sum(data[i:j]) for i in range(len(data)) for j in range(i + 1, len(data) + 1)))
"""
BEST_TESTS = [("3\n1 -2 4\n", "4\n"), ("2\n-3 -1\n", "-1\n"), ("5\n2 2 -1 3 -9\n", "6\n")]

BEST = """\
def best(nums):
    top = total = nums[0]
    for x in nums[1:]:
        total = max(x, total + x)
        top = max(top, total)
    return top
"""
BEST_METHOD = """\
class Solution:
    def best(self, nums: List[int]) -> int:
        return max(accumulate(nums[1:], lambda total, x: max(x, total + x), initial=nums[0]))
"""
BEST_OFF = """\
def best(nums):
    top = total = 0
    for x in nums:
        total = max(0, total + x)
        top = max(top, total)
    return top
"""
BEST_TEXT = BEST.replace("return top", "return str(top)")
BEST_PRINTS = BEST.replace("return top", "print(top)")

# The distinct elements in order of their first appearance.
UNIQUE = """\
def unique(items):
    return list(dict.fromkeys(items))
"""
UNIQUE_TUPLE = """\
def unique(items):
    seen = []
    for item in items:
        if item not in seen:
            seen.append(item)
    return tuple(seen)
"""
UNIQUE_SORTED = """\
def unique(items):
    return sorted(set(items))
"""
UNIQUE_LAST = """\
def unique(items):
    return [x for i, x in enumerate(items) if x not in items[i + 1:]]
"""

HALF = """\
print(float(input()) / 2)
"""
HALF_FLOOR = """\
print(int(float(input())) // 2)
"""

# Codeforces: any divisor of n other than 1; the checker takes every one.
DIVISOR_CHECKER = """import sys

stdin, expected, printed = (open(path).read().split() for path in sys.argv[1:4])
n = int(stdin[0])
try:
    d = int(printed[0])
    print(1 if len(printed) == 1 and 1 < d <= n and n % d == 0 else 0)
except (ValueError, IndexError):
    print(0)
"""
DIVISOR = """\
n = int(input())
print(next(d for d in range(2, n + 1) if n % d == 0))
"""
DIVISOR_ITSELF = """\
print(int(input()))
"""
DIVISOR_HALF = """\
n = int(input())
print(n // 2)
"""

MEAN_PROMPT = '''\
from typing import List


def scale(x: float) -> float:
    return x / 10


def mean(xs: List[float]) -> float:
    """The scaled mean."""
'''
MEAN_TEST = """import numpy as np

METADATA = {}


def check(candidate):
    inputs = [[[1.0, 2.0]], [[0.5]]]
    results = [0.15, 0.05]
    for inp, exp in zip(inputs, results):
        assert np.allclose(candidate(*inp), exp, atol=1e-6)
"""
MEAN = """\
def mean(xs: List[float]) -> float:
    return scale(sum(xs) / len(xs))
"""
MEAN_WHOLE = """\
def mean(xs):
    return sum(xs) / len(xs) / 10
"""
MEAN_FLOOR = """\
def mean(xs):
    return scale(sum(xs) // len(xs))
"""

ADD_ALL = """\
def add_all(pairs):
    return [a + b for a, b in pairs]
"""
ADD_ALL_TUPLES = """\
def add_all(pairs):
    return [(a + b,) for a, b in pairs]
"""
ADD_TESTS = ["assert add_all([(1, 2), (3, 4)]) == [3, 7]", "assert add_all([]) == []"]
ADD_TEST = """\
import numpy as np
[]

inputs = [[[(1, 2), (3, 4)]], [[]]]
results = [[3, 7], []]
for inp, exp in zip(inputs, results):
    assert np.array_equal(add_all(*inp), exp)
"""

CRUX_CODE = """\
def f(text, n):
    return text[::-1] * n"""
CRUX = """\
def answer():
    return f('ab', 2)
"""
CRUX_NAMED = """\
def answer():
    return f(text='ab', n=2)
"""
CRUX_OUTPUT = """\
def answer():
    return 'baba'
"""
CRUX_OTHER = """\
def answer():
    return f('ba', 2)
"""

_STDIN = [{"input": stdin, "output": stdout, "testtype": "stdin"} for stdin, stdout in BEST_TESTS]
_CALLS = [
    {"input": "[1, -2, 4]", "output": "4", "testtype": "functional"},
    {"input": "[-3, -1]", "output": "-1", "testtype": "functional"},
]
_LCB = {
    "question_title": "best",
    "question_content": "The largest sum of a contiguous part?",
    "platform": "atcoder",
    "question_id": "abc371_a",
    "contest_id": "abc371",
    "contest_date": "2024-09-01T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
}
_CODEFORCES = {
    "id": "1/A",
    "title": "Best",
    "description": "The largest sum of a contiguous part.",
    "input_format": "The length, then the numbers.",
    "output_format": "The sum.",
    "examples": [{"input": "1\n5\n", "output": "5\n"}],
    "note": None,
}
_FOR_STDIN: dict[str, Any] = {"tests": 3, "right": (BEST_STDIN, BEST_STDIN_READ), "wrong": (BEST_EMPTY, BEST_DEBUG)}
_FOR_CALLS: dict[str, Any] = {
    "tests": 2,
    "right": (BEST, BEST_METHOD),
    "wrong": (BEST_OFF, BEST_TEXT, BEST_PRINTS),
}

ROWS = (
    CodeRow(
        name="plain stdin",
        row={"tests": {"tests": [{"stdin": a, "stdout": b} for a, b in BEST_TESTS], "seconds": 2, "memory_mb": 256}},
        answer=["tests"],
        **_FOR_STDIN,
    ),
    CodeRow(
        name="plain calls",
        row={
            "gold": json.dumps(
                {
                    "entry_point": "unique",
                    "tests": [{"call": [[3, 1, 3]], "value": [3, 1]}, {"call": [[]], "value": []}],
                }
            )
        },
        answer="gold",
        tests=2,
        right=(UNIQUE, UNIQUE_TUPLE),
        wrong=(UNIQUE_SORTED, UNIQUE_LAST),
    ),
    CodeRow(
        name="plain assertions",
        row={"gold": json.dumps({"entry_point": "add_all", "tests": ADD_TESTS})},
        answer="gold",
        tests=2,
        right=(ADD_ALL,),
        wrong=(ADD_ALL_TUPLES,),
    ),
    CodeRow(
        name="APPS stdin",
        row={
            "question": "What is asked in task 1?",
            "starter_code": "",
            "input_output": json.dumps({"inputs": [a for a, _ in BEST_TESTS], "outputs": [b for _, b in BEST_TESTS]}),
        },
        answer="input_output",
        **_FOR_STDIN,
    ),
    CodeRow(
        name="TACO stdin in lines",
        row={
            "question": "What is asked in task 2?",
            "starter_code": "",
            "time_limit": "2.0 seconds",
            "memory_limit": "256.0 megabytes",
            "input_output": json.dumps(
                {"inputs": [a.split("\n") for a, _ in BEST_TESTS], "outputs": [[b.strip()] for _, b in BEST_TESTS]}
            ),
        },
        answer=["input_output", "time_limit", "memory_limit"],
        **_FOR_STDIN,
    ),
    CodeRow(
        name="TACO calls",
        row={
            "question": "The largest sum?",
            "starter_code": "class Solution:\n    def best(self, nums):\n        pass\n",
            "input_output": json.dumps(
                {"fn_name": "best", "inputs": [[[1, -2, 4]], [[-3, -1]]], "outputs": [[4], [-1]]}
            ),
        },
        answer="input_output",
        **_FOR_CALLS,
    ),
    CodeRow(
        name="TACO calls that return lists",
        row={
            "question": "Every item once?",
            "starter_code": "def unique(items):\n\t",
            "input_output": json.dumps({"fn_name": "unique", "inputs": [[[3, 1, 3]], [[]]], "outputs": [[3, 1], []]}),
        },
        answer="input_output",
        tests=2,
        right=(UNIQUE, UNIQUE_TUPLE),
        wrong=(UNIQUE_SORTED, "def unique(items):\n    return items[0] if items else []\n"),
    ),
    CodeRow(
        name="DeepCoder lcbv5 stdin",
        row={
            "problem": "What is asked in task 3?",
            "starter_code": "",
            "tests": json.dumps(_STDIN),
            "metadata": {"func_name": None},
        },
        answer=["tests", "metadata"],
        **_FOR_STDIN,
    ),
    CodeRow(
        name="DeepCoder lcbv5 functional",
        row={
            "problem": "What is asked in task 4?",
            "starter_code": "class Solution:",
            "tests": json.dumps(_CALLS),
            "metadata": {"func_name": "best"},
        },
        answer=["tests", "metadata"],
        **_FOR_CALLS,
    ),
    CodeRow(
        name="DeepCoder primeintellect",
        row={
            "problem": "What is asked in task 5?",
            "solutions": [],
            "tests": json.dumps([{"type": "stdin_stdout", "input": "3\n", "output": "1.5"}]),
        },
        answer="tests",
        tests=1,
        right=(HALF,),
        wrong=(HALF_FLOOR,),
    ),
    CodeRow(
        name="DeepCoder primeintellect calls",
        row={
            "problem": "What is asked in task 6?",
            "tests": json.dumps(
                [
                    {"type": "function_call", "fn_name": "best", "input": [[1, -2, 4]], "output": [4]},
                    {"type": "function_call", "fn_name": "best", "input": [[-3, -1]], "output": [-1]},
                ]
            ),
        },
        answer="tests",
        **_FOR_CALLS,
    ),
    CodeRow(
        name="PrimeIntellect",
        row={
            "prompt": "What is asked in task 7?",
            "verification_info": json.dumps(
                {
                    "language": "python",
                    "test_cases": [{"type": "stdin_stdout", "input": a, "output": b} for a, b in BEST_TESTS],
                }
            ),
        },
        answer="verification_info",
        **_FOR_STDIN,
    ),
    CodeRow(
        name="DeepCoder taco",
        row={
            "problem": "What is asked in task 8?",
            "solutions": [],
            "tests": json.dumps({"inputs": ["3\n"], "outputs": ["1.5\n"]}),
        },
        answer="tests",
        tests=1,
        right=(HALF,),
        wrong=(HALF_FLOOR,),
    ),
    CodeRow(
        name="DeepCoder codeforces",
        row={
            "problem": "What is asked in task 9?",
            "tests": json.dumps([{"input": a, "output": b} for a, b in BEST_TESTS]),
        },
        answer="tests",
        **_FOR_STDIN,
    ),
    CodeRow(
        name="LiveCodeBench stdin",
        row={
            **_LCB,
            "public_test_cases": json.dumps(_STDIN[:1]),
            "private_test_cases": packed(_STDIN[1:]),
            "metadata": "{}",
        },
        answer=["public_test_cases", "private_test_cases", "metadata"],
        **_FOR_STDIN,
    ),
    CodeRow(
        name="LiveCodeBench functional",
        row={
            **_LCB,
            "question_content": "The largest sum of a contiguous part, as a method?",
            "question_id": "3535",
            "starter_code": "class Solution:\n    def best(self, nums: List[int]) -> int:\n        ",
            "public_test_cases": json.dumps(_CALLS[:1]),
            "private_test_cases": packed(_CALLS[1:]),
            "metadata": '{"func_name": "best"}',
        },
        answer=["public_test_cases", "private_test_cases", "metadata"],
        **_FOR_CALLS,
    ),
    CodeRow(
        name="LiveCodeBench, private tests in plain JSON",
        row={
            **_LCB,
            "public_test_cases": json.dumps(_STDIN[:1]),
            "private_test_cases": json.dumps(_STDIN[1:]),
            "metadata": "{}",
        },
        answer=["public_test_cases", "private_test_cases", "metadata"],
        **_FOR_STDIN,
    ),
    CodeRow(
        name="CodeContests",
        row={
            "description": "What is asked in task 10?",
            "public_tests": {"input": [BEST_TESTS[0][0]], "output": [BEST_TESTS[0][1]]},
            "private_tests": {"input": [BEST_TESTS[1][0]], "output": [BEST_TESTS[1][1]]},
            "generated_tests": {"input": [BEST_TESTS[2][0]], "output": [BEST_TESTS[2][1]]},
            "time_limit": {"seconds": 2, "nanos": 500_000_000},
            "memory_limit_bytes": 256_000_000,
            "input_file": "",
            "output_file": "",
        },
        answer=[
            "public_tests",
            "private_tests",
            "generated_tests",
            "time_limit",
            "memory_limit_bytes",
            "input_file",
            "output_file",
        ],
        **_FOR_STDIN,
    ),
    CodeRow(
        name="Codeforces",
        row={
            **_CODEFORCES,
            "official_tests": [{"input": a, "output": b} for a, b in BEST_TESTS],
            "time_limit": 2.0,
            "memory_limit": 256.0,
            "input_mode": "stdio",
            "generated_checker": None,
            "interaction_format": None,
        },
        answer=[
            "official_tests",
            "time_limit",
            "memory_limit",
            "input_mode",
            "generated_checker",
            "interaction_format",
        ],
        **_FOR_STDIN,
    ),
    CodeRow(
        name="Codeforces with a checker",
        row={
            **_CODEFORCES,
            "id": "1/B",
            "description": "Any divisor above 1.",
            "official_tests": [{"input": "12\n", "output": "2\n"}, {"input": "15\n", "output": "3\n"}],
            "time_limit": 1.0,
            "memory_limit": 256.0,
            "input_mode": "stdio",
            "generated_checker": DIVISOR_CHECKER,
        },
        answer=["official_tests", "time_limit", "memory_limit", "input_mode", "generated_checker"],
        tests=2,
        right=(DIVISOR, DIVISOR_ITSELF),
        wrong=(DIVISOR_HALF, "print(1)\n"),
    ),
    CodeRow(
        name="HumanEval+",
        row={
            "task_id": "HumanEval/0",
            "prompt": MEAN_PROMPT,
            "entry_point": "mean",
            "test": MEAN_TEST,
            "canonical_solution": "",
        },
        answer=["prompt", "entry_point", "test"],
        tests=1,
        right=(MEAN, MEAN_WHOLE),
        wrong=(MEAN_FLOOR, "def average(xs):\n    return 0.15\n"),
    ),
    CodeRow(
        name="MBPP+",
        row={
            "task_id": 2,
            "code": ADD_ALL,
            "prompt": "Add the pairs.",
            "test_imports": ["import math"],
            "test_list": ADD_TESTS,
            "test": ADD_TEST,
        },
        answer=["code", "test_imports", "test_list", "test"],
        tests=1,
        right=(ADD_ALL,),
        wrong=(ADD_ALL_TUPLES,),
    ),
    CodeRow(
        name="MBPP",
        row={
            "text": "Add the pairs.",
            "code": ADD_ALL,
            "test_setup_code": "",
            "test_list": ADD_TESTS,
            "challenge_test_list": [],
        },
        answer=["code", "test_setup_code", "test_list"],
        tests=2,
        right=(ADD_ALL,),
        wrong=(ADD_ALL_TUPLES,),
    ),
    CodeRow(
        name="CRUXEval-I",
        row={"code": CRUX_CODE, "input": "'ab', 2", "output": "'baba'", "id": "sample_0"},
        answer=["code", "output"],
        tests=1,
        right=(CRUX, CRUX_NAMED, "def answer():\n    return f('abab', 1)\n"),
        wrong=(CRUX_OUTPUT, CRUX_OTHER),
    ),
    CodeRow(
        name="CRUXEval-I with a loop",
        row={
            "code": "def f(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total",
            "input": "4",
            "output": "6",
            "id": "sample_1",
        },
        answer=["code", "output"],
        tests=1,
        right=("def answer():\n    return f(4)\n",),
        wrong=(
            "def answer():\n    return f(3)\n",
            "def answer():\n    return f(10**12)\n",
            "def answer():\n    return 6\n",
        ),
    ),
)
