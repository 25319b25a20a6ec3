"""CRUXEval's answers: where they stand and when they are the same."""

from __future__ import annotations

import pytest

from learnalign.verify import Item, open_verifier
from learnalign.verify.literal import find_answer, literal


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
    assert literal(None, completion, gold) == 1.0


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
    assert literal(None, completion, "42") == 0.0


def test_a_completion_without_an_answer_has_none() -> None:
    assert find_answer("I think it is 3.") is None


def test_it_is_a_verifier_of_this_program() -> None:
    with open_verifier("learnalign.verify.literal:literal", workers=1) as verifier:
        items = [Item("[ANSWER][1, 2][/ANSWER]", "[1,2]"), Item("[ANSWER][2, 1][/ANSWER]", "[1,2]")]
        assert [verdict.reward for verdict in verifier.score(items)] == [1.0, 0.0]
        assert verifier.check_golds(["{}", "'a'"]) == [None, None]
