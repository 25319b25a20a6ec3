"""Small arithmetic: gold solutions are right, slips are real slips, draws repeat."""

import random
import re
from unittest.mock import Mock

import pytest

from learnalign.demo.questions import DIGIT_KINDS, KINDS, Question, attempt, completion, draw, questions, work

STEP = re.compile(r"[\d+*-]+=-?\d+")


def drawn(kind: str, count: int = 300) -> list[Question]:
    rng = random.Random(11)
    return [draw(kind, rng) for _ in range(count)]


def boxed(text: str) -> int:
    answers = re.findall(r"\\boxed\{(-?\d+)\}$", text)
    assert len(answers) == 1, text
    return int(answers[0])


def expression(question: Question) -> str:
    """The expression in the question's text, read from the text alone."""
    if question.kind == "story":
        a, b = re.findall(r"\d+", question.text)
        return f"{a} {'+' if 'buys' in question.text else '-'} {b}"
    return question.text.removeprefix("What is ").removesuffix("?")


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_value_of_the_expression_in_the_text(kind: str) -> None:
    for question in drawn(kind):
        assert question.answer == eval(expression(question))


@pytest.mark.parametrize("kind", KINDS)
def test_the_gold_solution_ends_in_the_answer_and_every_step_holds(kind: str) -> None:
    for question in drawn(kind):
        steps, answer = work(question, lambda: False)
        assert answer == question.answer == boxed(question.solution)
        for step in steps:
            left, right = step.split("=")
            assert STEP.fullmatch(step)
            assert eval(left) == int(right)


@pytest.mark.parametrize("kind", ["sum", "difference", "chain", "product", "story"])
def test_a_pupil_who_always_slips_is_wrong_exactly_if_a_slip_is_possible(kind: str) -> None:
    outcomes = set()
    for question in drawn(kind):
        slip = Mock(return_value=True)
        _, answer = work(question, slip)
        assert (answer != question.answer) == slip.called, question.text
        outcomes.add(slip.called)
    assert outcomes == {False, True}


@pytest.mark.parametrize("kind", KINDS)
def test_every_attempt_ends_in_one_complete_box(kind: str) -> None:
    rng = random.Random(3)
    answered = [(boxed(attempt(question, rng)), question.answer) for question in drawn(kind)]
    share = sum(given == gold for given, gold in answered) / len(answered)
    if kind in DIGIT_KINDS:
        assert share == 1.0
    elif kind == "long_product":
        assert share < 0.02
    else:
        assert 0.3 < share < 0.95


def test_a_bare_answer_has_no_working() -> None:
    assert completion([], -7) == r"\boxed{-7}"
    assert completion(["1+2=3", "3+4=7"], 7) == r"1+2=3, 3+4=7. \boxed{7}"


def test_questions_are_different_and_new() -> None:
    taken = {"What is 1 + 1?"}
    rows = questions({"digit_sum": 99}, random.Random(0), taken)
    assert len({row.text for row in rows}) == 99
    assert "What is 1 + 1?" not in {row.text for row in rows}
    assert len(taken) == 100
