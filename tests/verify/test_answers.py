"""Every verdict of a built-in verifier says which answer it read from the completion."""

from __future__ import annotations

import pytest

from learnalign.verify import Item, open_verifier
from learnalign.verify.verdict import LONGEST_ANSWER, NO_ANSWER

READ = [
    # verifier, gold, completion, reward, the answer in it
    ("math", "15", r"So it is \boxed{12}.", 0.0, "12"),
    ("math", "15", r"So it is \boxed{15}.", 1.0, "15"),
    ("math", r"\frac{1}{2}", r"It is \boxed{\frac{2}{4}}.", 1.0, r"\frac{2}{4}"),
    ("math", r"\frac{1}{2}", r"It is \boxed{\frac{3}{4}}.", 0.0, r"\frac{3}{4}"),
    ("math", "1, 2", r"\boxed{2} and \boxed{1}", 1.0, "2, 1"),
    ("math", "15", "The answer is 12.", 0.0, "12"),
    ("math", "15", "Five and ten. So we have x = 15", 1.0, "15"),
    ("math", "15", "", 0.0, None),
    ("boxed", "15", "The answer is 15.", 0.0, None),
    ("boxed", "15", r"\boxed{?!}", 0.0, "?!"),
    ("answer_tag", "15", "<answer>16</answer>", 0.0, "16"),
    ("gsm8k", "Long way\n#### 72", "so\n#### $71", 0.0, "$71"),
    ("gsm8k", "72", "#### 72.0", 1.0, "72.0"),
    ("gsm8k", "72", "#### many", 0.0, "many"),
    ("gsm8k", "72", "72", 0.0, None),
    ("exact", "yes", " no\n", 0.0, "no"),
    ("literal", "[1, 2]", "[ANSWER][1,2][/ANSWER]", 1.0, "[1,2]"),
    ("literal", "[1, 2]", "[ANSWER]assert f(1) == [2, 1][/ANSWER]", 0.0, "[2, 1]"),
]


@pytest.mark.parametrize("name", sorted({row[0] for row in READ}))
def test_the_answer_is_the_text_that_was_judged(name: str) -> None:
    rows = [row for row in READ if row[0] == name]
    with open_verifier(name, workers=1, timeout=60) as verifier:
        verdicts = verifier.score([Item(completion, gold) for _, gold, completion, _, _ in rows])
    for (*_, reward, answer), verdict in zip(rows, verdicts, strict=True):
        assert (verdict.reward, verdict.answer) == (reward, answer), verdict
        assert verdict.reason == NO_ANSWER.reason if answer is None else verdict.reason != NO_ANSWER.reason


def test_a_wrong_answer_stands_in_the_reason_with_the_gold_that_was_read() -> None:
    with open_verifier("gsm8k") as verifier:
        (verdict,) = verifier.score([Item("#### 12", "Add 7 and 8. " * 20 + "\n#### 15")])
    assert verdict.reason == "'12' is not '15'"


def test_a_long_answer_is_cut_and_an_unusable_gold_reads_none() -> None:
    with open_verifier("exact") as verifier:
        long, unusable = verifier.score([Item("x" * 9_000, "y"), Item("x", " ")])
    assert long.answer == "x" * LONGEST_ANSWER
    assert (unusable.reward, unusable.answer) == (None, None)


def test_functions_of_users_read_no_answer() -> None:
    with open_verifier("tests.rollouts.judges:by_first_letter", workers=1) as verifier:
        (verdict,) = verifier.score([Item("a", "15")])
    assert (verdict.answer, verdict.reason) == (None, "score 0")
