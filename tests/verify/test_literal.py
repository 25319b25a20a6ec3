"""CRUXEval's answers: finding and comparing Python literals."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.verify import Item, Verdict, open_verifier
from learnalign.verify.builtin import BUILT_IN
from learnalign.verify.literal import find_answer, judge_literal


def judge(completion: str, gold: str) -> Verdict:
    """The verdict without a worker process in between."""
    judged = BUILT_IN["literal"].item(Item(completion, gold))
    if isinstance(judged, Verdict):
        return judged
    assert judged == ("literal", gold, judged[2])
    return judge_literal(gold, str(judged[2]))


@pytest.mark.parametrize(
    ("completion", "gold"),
    [
        ("So it is [ANSWER][(4, 1), (2, 3)][/ANSWER]", "[(4, 1), (2, 3)]"),
        ("[ANSWER]1[/ANSWER] no, [ANSWER]'bcksrut' [/ANSWER]", "'bcksrut'"),
        ('[ANSWER]assert f("a == b") == "x == y"[/ANSWER]', '"x == y"'),
        ("[ANSWER]\n```\n{2: 'b', 1: 'a'}\n```\n[/ANSWER]", "{1: 'a', 2: 'b'}"),
        (r"The result is $\boxed{\text{'a\_b'}}$", "'a_b'"),
        (r"\boxed{\{1, 2\}}", "{2, 1}"),
        ("<answer> True </answer>", "True"),
        ('[ANSWER]"q"[/ANSWER]', "'q'"),
    ],
)
def test_an_equal_literal_is_correct(completion: str, gold: str) -> None:
    assert judge(completion, gold) == Verdict(1.0, "correct")


@pytest.mark.parametrize(
    "completion",
    [
        "42",
        "[ANSWER]42",
        "[ANSWER]43[/ANSWER]",
        "[ANSWER]41 + 1[/ANSWER]",
        "[ANSWER]__import__('os').getpid() and 42[/ANSWER]",
        "[ANSWER]" + "(" * 5000 + ")" * 5000 + "[/ANSWER]",
        "[ANSWER]" + "9" * 20_000 + "[/ANSWER]",
        "[ANSWER]'42'[/ANSWER]",
    ],
)
def test_anything_else_is_wrong_and_nothing_is_run(completion: str) -> None:
    assert judge(completion, "42").reward == 0.0


def test_a_wrong_answer_is_quoted() -> None:
    assert judge("[ANSWER]assert f(1) == [1, 2][/ANSWER]", "[2, 1]").reason == "'[1, 2]' is not '[2, 1]'"


def test_a_completion_without_an_answer_is_wrong() -> None:
    assert find_answer("I think it is 3.") is None
    assert judge("I think it is 3.", "3") == judge("[ANSWER][/ANSWER]", "3") == Verdict(0.0, "no answer")


@given(st.lists(st.sampled_from(["[ANSWER]", "[/ANSWER]", "1", " "]), max_size=12).map("".join))
def test_the_last_complete_mark_counts(text: str) -> None:
    complete = re.findall(r"\[ANSWER\](.*?)\[/ANSWER\]", text)
    assert find_answer(text) == (complete[-1].strip() if complete else None)


def test_it_is_a_built_in_verifier() -> None:
    with open_verifier("literal", workers=1) as verifier:
        items = [
            Item("[ANSWER](1, 2)[/ANSWER]", "(1,2)"),
            Item("[ANSWER](2, 1)[/ANSWER]", "(1,2)"),
            Item("[ANSWER]'' [/ANSWER]", ""),
        ]
        assert [verdict.reward for verdict in verifier.score(items)] == [1.0, 0.0, None]
        assert verifier.check_golds(["{}", "'a'", " "]) == [None, None, "the gold answer is empty"]
