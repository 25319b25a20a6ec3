"""Finding the stated answer of a completion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.verify.extract import after_hashes, find_boxes, last_tag, stated_answers


@pytest.mark.parametrize(
    ("text", "contents", "unterminated"),
    [
        (r"\boxed{5}", ["5"], False),
        (r"\boxed{\frac{1}{2}} and \boxed{3}", [r"\frac{1}{2}", "3"], False),
        (r"\boxed{a\boxed{b}c}", [r"a\boxed{b}c"], False),
        (r"\boxed{a \boxed{b}", ["b"], True),
        (r"\boxed{5} \boxed{6", ["5"], True),
        (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"], False),
        (r"\boxed{\left\{ 1 \right.}", [r"\left\{ 1 \right."], False),
        (r"\\boxed{4} \\boxed{5}", ["4", "5"], False),
        (r"\boxed", [], False),
        (r"\boxed 5", [], False),
        (r"\boxedx{5}", [], False),
        ("}}{{", [], False),
        (r"{ \boxed{5} ", ["5"], False),
    ],
)
def test_boxes_are_complete_and_outermost(text: str, contents: list[str], unterminated: bool) -> None:
    boxes = find_boxes(text)
    assert (boxes.contents, boxes.unterminated) == (contents, unterminated)


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{1}, \boxed{2}, and \boxed{3}", "1, 2, 3"),
        (r"$x = \boxed{1}$ or $x = \boxed{2}$", "1, 2"),
        (r"\boxed{0} is wrong. So \boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{1} and then \boxed{2}", None),
        (r"\boxed{1} \boxed{2}", "1, 2"),
        (r"\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}", "(2, 2), (6, 2)"),
        (r"\boxed{5}, \boxed{5}", None),
        (r"\boxed{1}", None),
    ],
)
def test_adjacent_boxes_make_one_list(text: str, joined: str | None) -> None:
    assert find_boxes(text).joined == joined


def test_boxes_separated_only_by_white_space_may_be_a_correction() -> None:
    assert find_boxes(r"\boxed{1} \boxed{2}").loose
    assert not find_boxes(r"\boxed{1}, \boxed{2}").loose


def balanced(depth: int = 3) -> st.SearchStrategy[str]:
    plain = st.text("ab1 +", max_size=4)
    if not depth:
        return plain
    inner = balanced(depth - 1)
    return st.lists(st.one_of(plain, inner.map(lambda text: "{" + text + "}")), max_size=3).map("".join)


@given(st.lists(st.tuples(st.text("xy,. ", max_size=5), balanced()), min_size=1, max_size=4))
def test_the_content_between_balanced_braces_is_found(parts: list[tuple[str, str]]) -> None:
    text = "".join(rf"{before}\boxed{{{content}}}" for before, content in parts)
    assert find_boxes(text).contents == [content.strip() for _, content in parts]


@given(st.text("\\{}boxed ", max_size=60))
def test_any_text_is_searched_without_error(text: str) -> None:
    for content in find_boxes(text).contents:
        assert content in text


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("<answer> 5 </answer>", "5"),
        ("<answer>4</answer><answer>5</answer>", "5"),
        ("<answer>5</answer><answer>6", "5"),
        ("<answer><answer>5</answer>", "5"),
        ("<answer>5</answer> done </answer>", "5"),
        ("<answer>5", None),
        ("</answer>5<answer>", None),
        ("5", None),
        ("<answer></answer>", ""),
    ],
)
def test_the_last_complete_tag_counts(text: str, content: str | None) -> None:
    assert last_tag(text) == content


def test_the_text_after_the_last_hashes_counts() -> None:
    assert after_hashes("1\n#### 2\nno\n####  3 \nend") == "3"
    assert after_hashes("no hashes") is None


def test_statements_come_last_first() -> None:
    text = "The answer is 4. No: **Answer:** 5, I think.\nThe final answer is $\\frac{1}{2}$"
    assert stated_answers(text) == ["$\\frac{1}{2}$", "5, I think", "4"]
    assert stated_answers("I answered 12.") == []
