"""Comparisons of printed text and returned values: what is right passes, what is nearly right does not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.verify.code.cases import Call
from learnalign.verify.code.comparison import COMPARISONS, right_value, same_value

# By comparison: (expected, printed), those that are right and those that are not.
RIGHT = {
    "lines": [
        ("3\n", "3"),
        ("1 2\n3\n", "1  2 \r\n3\n\n"),
        ("", "\n"),
        ("a\n\nb", "a\n\nb\n"),
        ("2", "2.0"),
        ("100", "1e2"),
        ("2.50", "2.5"),
        ("-0.0", "0"),
        ("0.3333333333", "0.333333"),
        ("1000000.0", "1000000.9"),
        ("1e-9", "0"),
        ("1.", "1"),
        ("123456789012345678901234567890", "123456789012345678901234567890.0"),
        ("007 x", "007 x"),
        ("nan inf", "nan inf"),
    ],
    "exact": [("a \n", "a "), ("a", "a\n"), ("", "")],
    "tokens": [("1 2\n3", "1\n2 3\n"), ("0.5", "0.50000001"), ("", " \n")],
    "filled-lines": [("\n5\n\n6\n", "5\n6"), ("a b", "a  b\n\n"), ("1.5", "1.50000001")],
    "decimals": [("\n0.5\n", "0.50"), ("x y\n1 2", "x y\n1.0 2"), ("50000000000000001", "50000000000000001")],
    "anycase": [("YES 1", "yes\n1"), ("0.123456", "0.123459"), ("1.0", "1")],
    "wcmp": [("a 1\nb", "a\n1 b")],
    "lcmp": [("a 1\nb\n", "a  1\nb"), ("a\n", "a\n\n\n")],
    "fcmp": [("a  b\n", "a  b"), ("a\nb\n", "a\r\nb\r\n")],
    "ncmp": [("1 -2\n0", "1\n-2 0"), ("", "")],
    "uncmp": [("3 1 2 2", "2 3 2 1")],
    "hcmp": [("9" * 50, "9" * 50 + "\n"), ("-12", " -12")],
    "yesno": [("YES", "yes\n"), ("No", "NO")],
    "nyesno": [("YES\nNO", "yes no"), ("", "")],
    "caseicmp": [("Case 1: 5\nCase 2: -7", "Case 1: 5 Case 2: -7\n")],
    "rcmp4": [("1.0 2", "1.00009\n2.0"), ("10000", "10000.9"), ("-3e2", "-300")],
    "rcmp6": [("1.0", "1.0000009"), ("5", "5")],
    "rcmp9": [("1.0", "1.0000000009")],
}
WRONG = {
    "lines": [
        ("3", "4"),
        ("3", ""),
        ("", "0"),
        ("1 2\n3", "1\n2 3"),
        ("1\n2", "1"),
        ("1", "1\n2"),
        ("1", "n = 1\n1"),
        ("a\n\nb", "a\nb"),
        ("a", "\na"),
        ("a b", "ab"),
        ("a", "A"),
        ("3", "3.0000001"),
        ("50000000000000000", "50000000000000001"),
        ("9" * 400, "9" * 399 + "8"),
        ("0101", "101"),
        ("101", "0101"),
        ("7", "007"),
        ("0.5", "0.50001"),
        ("1000000.0", "1000002.0"),
        ("0.5", "1/2"),
        ("0.5", "nan"),
        ("0.5", "inf"),
        ("inf", "1e999"),
        ("1e999", "inf"),
        ("1.0", "True"),
        ("5", "５"),
        ("1000", "1_000"),
        ("1000", "1,000"),
        ("1.5", "1.5.0"),
        ("1.5", "--1.5"),
        ("1.5", "1.5e"),
        ("0x10", "16"),
    ],
    "exact": [("a ", "a"), ("a\n", "a\n\n"), ("1", "1.0"), ("a", "A")],
    "tokens": [("1 2", "12"), ("1 2", "1 2 3"), ("1 2", "2 1"), ("3", "3.0000001")],
    "filled-lines": [("1 2\n3", "1\n2 3"), ("1 2 3", "3 2 1"), ("5\n6", "5 6")],
    "decimals": [("0.3333333333", "0.333333"), ("a\n\nb", "a\nb"), ("0101", "101")],
    "anycase": [("0.12345", "0.12347"), ("abc", "abd"), ("1 2", "1")],
    "wcmp": [("1", "1.0"), ("a", "A"), ("a b", "a")],
    "lcmp": [("a\nb", "a b"), ("a", "a\nb"), ("1", "1.0"), ("a\nb", "a")],
    "fcmp": [("a b", "a  b"), ("a", "a "), ("a", "a\nb"), ("a", " a")],
    "ncmp": [("1", "1.0"), ("1", "+1"), ("1", "01"), ("1 2", "1"), ("1", "1 2"), ("1", str(1 + (1 << 64))), ("x", "x")],
    "uncmp": [("1 2 2", "1 1 2"), ("1", "1 1"), ("1", "1.0"), ("a", "a")],
    "hcmp": [("9" * 50, "9" * 49), ("12", "012"), ("1 2", "1 2"), ("-0", "-0"), ("1", "1 1")],
    "yesno": [("YES", "NO"), ("YES", "Y"), ("YES", "YES YES"), ("MAYBE", "maybe"), ("", "")],
    "nyesno": [("YES NO", "NO YES"), ("YES", "YES YES"), ("YES x", "YES x")],
    "caseicmp": [
        ("Case 1: 5", "case 1: 5"),
        ("Case 1: 5", "Case 2: 5"),
        ("Case 1: 5", "Case #1: 5"),
        ("Case 1: 5", "5"),
    ],
    "rcmp4": [("1.0", "1.0002"), ("1.0", "1.0 1.0"), ("1.0 2.0", "1.0"), ("x", "x"), ("1.0", "nan"), ("nan", "nan")],
    "rcmp6": [("1.0", "1.000002"), ("1.0", "one")],
    "rcmp9": [("1.0", "1.000000002")],
}


def test_every_comparison_is_tested_both_ways() -> None:
    assert RIGHT.keys() == WRONG.keys() == COMPARISONS.keys()


@pytest.mark.parametrize("name", COMPARISONS)
def test_right_output_passes(name: str) -> None:
    assert [pair for pair in RIGHT[name] if not COMPARISONS[name](*pair)] == []


@pytest.mark.parametrize("name", COMPARISONS)
def test_wrong_output_fails(name: str) -> None:
    assert [pair for pair in WRONG[name] if COMPARISONS[name](*pair)] == []


def _steps(expected: str, printed: str) -> None:
    for compare in COMPARISONS.values():
        compare(expected, printed)
        compare(printed, expected)


@pytest.mark.parametrize(
    "printed",
    [
        *("9" * 4_000_000, "9" * 4_000_000 + "x", "1." + "0" * 4_000_000 + "x", "1e" + "9" * 4_000_000),
        *("0" * 4_000_000 + "1", "-" * 4_000_000, " " * 4_000_000 + "x", "\n" * 500_000 + "x", "1 " * 100_000),
        *(
            "Case " * 100_000,
            "é" * 2_000_000,
            "1e999999",
            "1\n" * 100_000,
            "\x00" * 2_000_000,
            "9" * 2_000_000 + ".5e3",
        ),
    ],
    ids=lambda text: f"{text[:3]!r}…{text[-2:]!r}",
)
def test_enormous_outputs_are_compared_in_linear_time(printed: str) -> None:
    _steps("1.5", printed)  # a quadratic comparison would take hours
    _steps(printed[:-1] + "y", printed)


SAME: list[tuple[Any, Any]] = [
    (1, 1),
    (1, 1.0),
    (1.0, 1),
    (0.1, 0.1000000001),
    (1e9, 1e9 + 1),
    (0.0, 1e-7),
    (True, True),
    (True, 1),
    (None, None),
    ("a", "a"),
    ([1, [2.0]], [1, [2.0000001]]),
    ({"a": [1.0]}, {"a": [1]}),
    ([], []),
    (10**30, 10**30),
    ([1, [2]], (1, (2,))),
    ({"1": [2]}, {1: (2,)}),
]
NOT_SAME: list[tuple[Any, Any]] = [
    (1, 2),
    (1, 1.0000001),
    (1, "1"),
    ("1", 1),
    (1.0, "1.0"),
    (1.0, 1.00001),
    (1.0, math.nan),
    (1.0, math.inf),
    (1.0, 10**400),
    (10**30, 10**30 + 1),
    (10**30, 1e30),
    (2.5, 2),
    (None, 0),
    (None, []),
    (False, None),
    ("", None),
    ([], {}),
    ([1], 1),
    (1, [1]),
    ([1, 2], [2, 1]),
    ([1, 2], [1, 2, 3]),
    ([[1]], [1]),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, ["a"]),
    (["a", "b"], "ab"),
    ("ab", ["a", "b"]),
    ([1, 2], {1, 2}),
    ([97], b"a"),
    ("a", b"a"),
    ({"1": 1}, {"1": 1, 1: 1}),
    ({"1": 1}, {True: 1}),
    ({"1": 1}, {1.0: 1}),
]


def test_same_values_are_the_same() -> None:
    assert [pair for pair in SAME if not same_value(*pair)] == []


def test_other_values_are_not() -> None:
    assert [pair for pair in NOT_SAME if same_value(*pair)] == []


def test_a_value_nested_deeper_than_expected_is_not_walked() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert not same_value([[1]], deep)
    assert not same_value(1, deep)


def test_other_right_values_count() -> None:
    call = Call((1,), [4], (4,))
    assert [right_value(call, value) for value in ([4], 4, 4.0, [[4]], None, 5)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
def test_every_value_is_the_same_as_itself_through_json(value: Any) -> None:
    assert same_value(value, json.loads(json.dumps(value)))


@given(st.text(alphabet="0123456789.e+- \nab"))
def test_every_text_is_the_same_as_itself(text: str) -> None:
    for name in ("lines", "exact", "tokens", "filled-lines", "decimals", "anycase", "wcmp", "lcmp", "fcmp"):
        assert COMPARISONS[name](text, text)
