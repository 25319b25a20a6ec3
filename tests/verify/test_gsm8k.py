"""`gsm8k` reads the one number on the line after the last ####, in any dress; anything else there is no number."""

import pytest

from learnalign.verify import Item
from learnalign.verify.gsm8k import judge, judge_gold

NUMBERS = [
    ("42", "42"),
    ("+42", "42"),
    ("-42", "-42"),
    ("−42", "-42"),
    ("–42", "-42"),
    ("-$42", "-42"),
    ("$-42", "-42"),
    ("$42", "42"),
    (r"\$42", "42"),
    ("£5.00", "5"),
    ("€ 5", "5"),
    ("5 €", "5"),
    ("50¢", "50"),
    ("**42**", "42"),
    ("**42** dollars", "42"),
    ("**$1,234.50**", "1234.5"),
    ("*42*", "42"),
    ("__42__", "42"),
    ("42**", "42"),
    ("`42`", "42"),
    ("$42$", "42"),
    ("$$42$$", "42"),
    (r"\(42\)", "42"),
    (r"\[ 42 \]", "42"),
    (r"\boxed{42}", "42"),
    (r"$\boxed{-42}$.", "-42"),
    (r"\boxed{42\text{ dollars}}", "42"),
    (r"\boxed{1{,}000}", "1000"),
    (r"\mathbf{42}", "42"),
    ("1,000", "1000"),
    ("1,000.00", "1000"),
    ("1 000", "1000"),
    ("1\u2009000", "1000"),
    ("1\u202f000\u202f000", "1000000"),
    (r"1\,000", "1000"),
    ("1,00,000", "100000"),
    ("3e4", "30000"),
    ("2.5E-1", "0.25"),
    ("3 × 10^4", "30000"),
    (r"3\times10^{4}", "30000"),
    ("25%", "25"),
    (r"25\%", "25"),
    ("25 percent", "25"),
    ("5/2", "2.5"),
    (r"\frac{5}{2}", "2.5"),
    ("42 dollars", "42"),
    ("42 miles per hour", "42"),
    ("42 km/h.", "42"),
    ("42cm", "42"),
    ("5 años", "5"),
    ("5 milliliters", "5"),
    ("10 tens", "10"),
    ("3 m", "3"),
    ("４２", "42"),
    ("42</answer>", "42"),
    ("\n42", "42"),
    ("  \n\n  **42**\nmore", "42"),
    ("007", "7"),
]
# A line and the number that one could take it for.
OTHERS = [
    ("1.5 million", "1"),
    ("5 million", "5"),
    ("5 million", "5000000"),
    ("5 millones", "5"),
    ("2 thousand", "2"),
    ("5 dozen", "5"),
    ("5k", "5"),
    ("5 K", "5"),
    ("12, 345", "12345"),
    ("12, 345", "12"),
    ("12, 345", "345"),
    ("1 00", "100"),
    ("1,2345", "12345"),
    ("0,123", "123"),
    ("1.000,50", "1"),
    ("2 1/2", "2"),
    (r"2\frac{1}{2}", "2"),
    ("2 and a half", "2"),
    ("3 squared", "3"),
    ("3:30", "3"),
    ("3 + 4", "3"),
    ("3 + 4", "7"),
    ("3 - 4", "3"),
    ("3 = 3", "3"),
    ("3^2", "3"),
    ("3**2", "3"),
    ("3**2", "32"),
    ("3x", "3"),
    ("3 x", "3"),
    ("3*x", "3"),
    ("3 pi", "3"),
    ("3!", "3"),
    ("3rd", "3"),
    ("3.5.1", "3.5"),
    ("3e", "3"),
    ("(5)", "-5"),
    ("(5)", "5"),
    ("--5", "5"),
    ("±5", "5"),
    ("Answer: 42", "42"),
    ("= 42", "42"),
    ("x = 42", "42"),
    ("ten or 10", "10"),
    ("10 or ten", "10"),
    ("42 is not right", "42"),
    ("five", "5"),
    ("5, 6", "5"),
    ("5 6", "5"),
    ("5 apples and 3 pears", "5"),
    ("5 #### 6", "5"),
    ("5 #### 6", "6"),
    ("the total, 72", "72"),
    ("5/0", "5"),
    ("1e9999", "1"),
    ("So it is\n42", "42"),
    ("5" * 500, "5" * 500),
]


def reward(completion: str, gold: str) -> float | None:
    return judge(Item(completion, gold)).reward


@pytest.mark.parametrize(("line", "value"), NUMBERS)
def test_one_number_in_any_dress_is_its_value(line: str, value: str) -> None:
    assert reward(f"2 + 2 = 4\n#### {line}", value) == 1.0
    assert reward(f"2 + 2 = 4\n#### {value}", line) == 1.0


@pytest.mark.parametrize(("line", "value"), NUMBERS)
def test_it_is_no_other_number(line: str, value: str) -> None:
    others = [
        f"{float(value) + 1:.6f}",
        f"{-float(value):.6f}",
        f"{float(value) * 10:.6f}",
        f"{float(value) / 100:.6f}",
    ]
    assert [reward(f"#### {line}", other) for other in others] == [0.0] * 4


@pytest.mark.parametrize(("line", "value"), OTHERS)
def test_a_line_that_is_more_than_a_number_is_none(line: str, value: str) -> None:
    assert reward(f"#### {line}", value) == 0.0


@pytest.mark.parametrize(("line", "value"), OTHERS)
def test_a_gold_that_is_more_than_a_number_is_unusable(line: str, value: str) -> None:
    verdict = judge_gold(f"#### {line}")
    assert (verdict.reward, verdict.reason) == (None, "the gold answer is not one number")


@pytest.mark.parametrize(
    ("completion", "gold", "right"),
    [
        ("#### 5\n\nQuestion: next one?\nAnswer: 3+3=6\n#### 6", "5", 0.0),
        ("#### Step 2: add\n4+3=7\n#### 7", "7", 1.0),
        ("#### 7\n\n#### Explanation\nbecause 4+3", "7", 0.0),
        ("### 42", "42", 0.0),
        ("The answer is #### 42", "42", 1.0),
        ("**#### 42**", "42", 1.0),
        ("#### 42\r\nend", "42", 1.0),
        ("#### 0.333333", "1/3", 0.0),
    ],
)
def test_only_the_last_mark_counts(completion: str, gold: str, right: float) -> None:
    assert reward(completion, gold) == right


@pytest.mark.parametrize("completion", ["", "42", "####", "####  \n \n"])
def test_without_a_mark_or_a_line_after_it_there_is_no_answer(completion: str) -> None:
    verdict = judge(Item(completion, "42"))
    assert (verdict.reward, verdict.reason) == (0.0, "no answer")


def test_what_is_no_number_is_quoted() -> None:
    assert judge(Item("#### Answer: 42", "42")).reason == "'Answer: 42' after #### is not one number"
