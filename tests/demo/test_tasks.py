"""The real pool: answers are right, no question is repeated or an example, GSM8K keeps its own form."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from learnalign.demo import tasks
from learnalign.errors import InputError


def write_gsm8k(path: Path, count: int) -> Path:
    answer = "Half of 48 is 48/2 = <<48/2=24>>24.\nTogether <<48+24=72>>72.\n#### 72"
    lines = [json.dumps({"question": f"Question {index}?", "answer": answer}) for index in range(count)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pool() -> list[dict]:
    pytest.importorskip("reasoning_gym")
    return tasks.reasoning_gym_pool()


def test_the_pool_has_forty_tasks_of_three_kinds(pool: list[dict]) -> None:
    assert Counter(row["kind"] for row in pool) == {"chain": 40, "product": 40, "sum": 40}


def test_every_answer_is_the_value_of_the_expression_in_the_question(pool: list[dict]) -> None:
    for row in pool:
        expression = re.search(r": ([\d+* -]+)", row["messages"][-1]["content"])
        assert expression is not None
        assert eval(expression[1]) == int(row["answer"])


def test_the_worked_examples_are_right_and_never_questions(pool: list[dict]) -> None:
    questions = {row["messages"][-1]["content"] for row in pool}
    assert len(questions) == len(pool)
    for row in pool:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant", "user", "assistant", "user"]
        for question, answer in zip(row["messages"][:4:2], row["messages"][1:4:2], strict=True):
            assert question["content"] not in questions
            worked = re.fullmatch(r"(.+) = (\d+)\. The final answer is \2\.", answer["content"])
            assert worked is not None
            assert worked[1] in question["content"]
            assert eval(worked[1]) == int(worked[2])


def test_the_pool_is_the_same_every_time(pool: list[dict]) -> None:
    assert tasks.reasoning_gym_pool() == pool


def test_gsm8k_questions_come_with_two_worked_examples_without_calculator_marks(tmp_path: Path) -> None:
    rows = tasks.gsm8k_pool(write_gsm8k(tmp_path / "train.jsonl", 70))
    assert len(rows) == 64
    assert [row["messages"][-1]["content"] for row in rows[:2]] == ["Question 2?", "Question 3?"]
    assert rows[0]["messages"][1]["content"] == "Half of 48 is 48/2 = 24.\nTogether 72.\n#### 72"
    assert rows[0]["answer"].endswith("<<48+24=72>>72.\n#### 72")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ('{"question": "?", "answer": "1"}', "66 are needed"),
        ("[1]", "expected GSM8K"),
        ("{", "expected GSM8K"),
    ],
)
def test_a_file_that_is_not_gsm8k_is_refused_by_name(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "train.jsonl"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as raised:
        tasks.gsm8k_pool(path)
    assert str(path) in str(raised.value)
