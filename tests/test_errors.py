"""Messages are one line of bounded length, whatever a user's value is."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.errors import LONGEST, InputError, counted, listed_briefly, one_line, short

VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)


@given(VALUES, st.integers(3, 200))
def test_a_value_in_a_message_is_short_and_printable(value: Any, limit: int) -> None:
    text = short(value, limit)
    assert text.isprintable()
    assert len(text) <= max(limit, len(f"a {type(value).__name__} of many digits"))


@given(st.text(st.characters()))
def test_a_message_is_one_line(text: str) -> None:
    message = str(InputError(text))
    assert message.isprintable()
    assert len(message) <= LONGEST


def test_a_long_message_keeps_its_beginning_and_its_way_out() -> None:
    message = str(InputError(f"data.path: {'x' * 10**6}; give another"))
    assert message.startswith("data.path: xxx")
    assert message.endswith("xxx; give another")


def test_a_value_of_any_size_is_short() -> None:
    bomb: list[Any] = ["x"] * 9
    for _ in range(40):
        bomb = [bomb] * 9
    endless: list[Any] = []
    endless.append(endless)
    for value in (bomb, endless, 10 ** (sys.get_int_max_str_digits() + 1), "x" * 10**7, {"x" * 10**7: bomb}):
        assert len(short(value)) <= 80


@pytest.mark.parametrize(("text", "line"), [("a\n  b", "a b"), ("\x1b[31m", "\\x1b[31m"), ("\ud800", "\\ud800")])
def test_what_cannot_be_printed_is_escaped(text: str, line: str) -> None:
    assert one_line(text) == line


def test_of_many_names_the_first_are_listed() -> None:
    assert listed_briefly(map(str, range(3))) == "0, 1, 2"
    assert listed_briefly(map(str, range(1000)), 2) == "0, 1 and 998 more"


def test_one_is_counted_in_the_singular() -> None:
    assert [counted(n, "prompt") for n in (0, 1, 2500)] == ["0 prompts", "1 prompt", "2,500 prompts"]
    assert [counted(n, "policy", "policies") for n in (1, 2)] == ["1 policy", "2 policies"]
