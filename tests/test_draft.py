"""`learnalign init`: the question, the gold and the verifier of every known shape, and a config that works as written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.columns import answer_of
from learnalign.config import DataConfig, build_config, load_config
from learnalign.draft import draft
from learnalign.errors import InputError
from learnalign.guess import first_rows, guess
from learnalign.plan import plan
from learnalign.prompts import read_pool
from learnalign.verify.code.shapes import read_cases
from learnalign_cli.init import init
from tests.verify.code.rows import ROWS, CodeRow

DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer "
    "(without quotes) where $Answer is the answer to the problem.\n\n{}\n\nRemember to put your answer on its own line after "
    '"Answer:".'
)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def rows_of(make: Any, count: int = 12) -> list[dict[str, Any]]:
    return [make(i) for i in range(count)]


# A row of each shape: the question is "What is {i}+1?", the gold i + 1.
SHAPES: dict[str, Any] = {
    "gsm8k": lambda i: {"question": f"What is {i}+1?", "answer": f"Add <<{i}+1={i + 1}>> them.\n#### {i + 1}"},
    "math": lambda i: {
        "problem": f"What is {i}+1?",
        "level": "Level 1",
        "type": "Algebra",
        "solution": rf"First \boxed{{0}}, no: it is $\boxed{{{i + 1}}}$.",
    },
    "dapo": lambda i: {
        "data_source": "math_dapo",
        "prompt": user(DAPO.format(f"What is {i}+1?")),
        "ability": "MATH",
        "reward_model": {"ground_truth": str(i + 1), "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"u{i}"},
    },
    "deepscaler": lambda i: {"problem": f"What is {i}+1?", "answer": str(i + 1), "solution": f"It is {i + 1}."},
    "numinamath": lambda i: {
        "source": "synthetic_math",
        "problem": f"What is {i}+1?",
        "solution": rf"Adding gives \boxed{{{i + 1}}}.",
        "messages": [*user(f"What is {i}+1?"), {"role": "assistant", "content": rf"\boxed{{{i + 1}}}"}],
    },
    "open-r1": lambda i: {
        "problem": f"What is {i}+1?",
        "solution": f"It is {i + 1}.",
        "answer": str(i + 1),
        "problem_type": "Algebra",
        "uuid": f"u{i}",
        "generations": ["<think>…"],
    },
    "verl": lambda i: {
        "data_source": "openai/gsm8k",
        "prompt": user(f"What is {i}+1?"),
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": str(i + 1)},
        "extra_info": {"split": "train", "index": i},
    },
    "openrlhf": lambda i: {"input": user(f"What is {i}+1?"), "label": str(i + 1)},
}


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_every_known_shape_are_told_with_question_and_gold(shape: str, tmp_path: Path) -> None:
    found = guess(first_rows(DataConfig(path=write(tmp_path, rows_of(SHAPES[shape])))))
    assert (found.shape, found.usable) == (shape, 1.0)
    prompts = read_pool(DataConfig.model_validate({"path": str(tmp_path / "pool.jsonl"), **found.data}))[0]
    assert [(prompt.messages[-1]["content"], prompt.answer) for prompt in prompts] == [
        (f"What is {i}+1?", str(i + 1)) for i in range(12)
    ]
    by_preset = build_config({"model": {"name": "m"}, "data": {"path": "p", **found.data}, "verifier": found.verifier})
    assert by_preset.data.prompt == found.data["prompt"]


@pytest.mark.parametrize(
    ("shape", "own"), [("open-r1", "uuid"), ("dapo", "extra_info.index"), ("verl", "extra_info.index")]
)
def test_a_known_shape_keeps_the_ids_that_its_rows_have(shape: str, own: str) -> None:
    assert guess(rows_of(SHAPES[shape])).data["id"] == own


@pytest.mark.parametrize("name", ["uuid", "id", "task_id", "problem_id", "questionId", "unique id", "index", "key"])
def test_a_column_called_an_id_is_one_if_it_differs_in_every_row(name: str) -> None:
    rows = rows_of(lambda i: {"question": f"What is {i}+1?", "answer": str(i + 1), name: f"a{i}"})
    assert guess(rows).data["id"] == name
    for other in ({name: "a1"}, {name: None}):
        assert "id" not in guess([*rows[:-1], rows[-1] | other]).data


def test_an_answer_key_is_a_gold() -> None:
    assert guess(rows_of(lambda i: {"q": f"What is {i}+1?", "answer_key": str(i + 1)})).data["answer"] == "answer_key"


def test_ids_that_repeat_after_the_first_rows_are_not_taken(tmp_path: Path) -> None:
    rows = rows_of(lambda i: {"question": f"What is {i}+1?", "answer": f"#### {i + 1}", "id": i % 550}, 600)
    made = draft(write(tmp_path, rows), str(tmp_path / "none"))
    assert (made.prompts, made.config.data.id) == (600, None)
    assert any("'id'" in note for note in made.notes)


def test_a_messy_csv_of_no_known_shape_is_guessed_by_names_and_values(tmp_path: Path) -> None:
    header = 'Q id, Gold Answer ,"The Question, please",notes\n'
    (tmp_path / "p.csv").write_text(header + "".join(f"a{i},{i + 1},What is {i}+1?,n{i % 2}\n" for i in range(12)))
    found = guess(first_rows(DataConfig(path=str(tmp_path / "p.csv"))))
    assert found.shape is None
    assert (found.data["prompt"], found.data["answer"], found.data["id"]) == (
        "The Question, please",
        " Gold Answer ",
        "Q id",
    )
    assert (found.verifier, found.others["answer"]) == ("math", ["notes"])


def test_a_question_in_two_columns_a_boxed_gold_and_ids_that_repeat(tmp_path: Path) -> None:
    rows = [
        {"ID": i % 3, "Body": f"Ann has {i}.", "Question": "One more makes?", "Worked answer": rf"so \boxed{{{i + 1}}}"}
        for i in range(12)
    ]
    found = guess(rows)
    assert found.data["prompt_template"] == "{Body} {Question}"
    assert "id" not in found.data
    made = read_pool(DataConfig.model_validate({"path": write(tmp_path, rows), **found.data}))[0]
    assert (made[3].messages[-1]["content"], made[3].answer) == ("Ann has 3. One more makes?", "4")


def test_golds_that_are_no_mathematics_are_compared_as_text() -> None:
    words = ["Paris is it, the City of Light", "it is the cat's colour, surely", "No, never", "a tea kettle"]
    rows = [
        {"question": f"Who {i}?", "answer": f"{words[i % 4]}, and then it is so, {words[(i + 1) % 4]}!"}
        for i in range(12)
    ]
    assert guess(rows).verifier == "exact"
    assert guess(rows).data["answer"] == "answer"


def test_rows_without_a_gold_are_refused_with_their_columns() -> None:
    with pytest.raises(InputError, match="no column looks like the gold answer: the columns are 'question'"):
        guess([{"question": f"What is {i}?"} for i in range(12)])


@pytest.mark.parametrize("shape", ["gsm8k", "dapo"])
def test_the_config_works_as_written_and_says_why(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path / "data", rows_of(SHAPES[shape], 40))
    init(source, model="demo")
    said = capsys.readouterr().out
    assert "<|im_start|>user\nWhat is 0+1?<|im_end|>" in said
    assert "gold 1: '1'" in said
    file = tmp_path / "pool.yaml"
    assert f"config: {file.name}" in said
    assert "# column with the gold answer" in file.read_text()
    config = load_config(file)
    planned = plan(config, ["warmup", "rollout", "grad"], ["warmup", "rollout", "grad", "select"])
    assert (planned.prompts, planned.left_out) == (40, 0)
    assert config.select.size == 10
    before = file.read_text()
    with pytest.raises(InputError, match=r"pool.yaml is there already"):
        init(source, model="demo")
    assert file.read_text() == before


def test_a_model_that_cannot_be_loaded_shows_the_messages_and_says_so(tmp_path: Path) -> None:
    made = draft(write(tmp_path, rows_of(SHAPES["gsm8k"])), str(tmp_path / "none"))
    assert made.rows[0].prompt.startswith("[system] Please reason step by step")
    assert "no such directory" in made.notes[0]
    assert made.config.data.max_prompt_tokens == 512


def test_prompts_that_say_how_to_answer_get_no_system_prompt(tmp_path: Path) -> None:
    def row(i: int) -> dict[str, Any]:
        return {"input": user(rf"What is {i}+1? Answer in \boxed{{}}."), "label": str(i + 1)}

    assert draft(write(tmp_path, rows_of(row)), str(tmp_path / "none")).config.data.system_prompt is None


@pytest.mark.parametrize("row", [row for row in ROWS if "CRUXEval" not in row.name], ids=lambda row: row.name)
def test_tests_of_code_tasks_are_found_in_the_columns_of_every_data_set(row: CodeRow) -> None:
    found = guess([{"question": "Write it.", **row.row}] * 5)
    assert found.verifier == "code"
    gold = answer_of(row.row, DataConfig(path="-", answer=found.data["answer"]))
    assert read_cases(gold) == read_cases(row.gold)


def test_a_config_of_code_tasks_asks_for_a_program_and_names_a_sandbox(tmp_path: Path) -> None:
    def row(i: int) -> dict[str, Any]:
        starter = f"def add{i}(a):" if i % 2 else ""
        tests = json.dumps([{"type": "stdin_stdout", "input": "1", "output": str(i + 1)}])
        return {"problem": f"Add {i}.", "solutions": ["print(1)"], "tests": tests, "starter_code": starter}

    made = draft(write(tmp_path, rows_of(row)), str(tmp_path / "none"))
    (tmp_path / "pool.yaml").write_text(made.text)
    config = load_config(tmp_path / "pool.yaml")
    assert config == made.config
    assert (config.verifier, config.verifier_sandbox, config.data.answer) == ("code", "local", "tests")
    assert "```python" in (config.data.system_prompt or "")
    assert made.prompts == 12
    assert "Add 1.\n\n```python\ndef add1(a):\n```" in made.rows[1].prompt
    assert made.rows[0].reason is None


def test_a_list_of_texts_is_no_test(tmp_path: Path) -> None:
    found = guess(rows_of(lambda i: {"question": f"Name {i}.", "answer": f'["{i}"]'}))
    assert found.verifier != "code"


def test_the_rows_shown_are_prompts_of_the_pool(tmp_path: Path) -> None:
    rows = rows_of(SHAPES["gsm8k"], 40)
    rows[2] = rows[1] = rows[0] | {"answer": "#### 99"}  # another answer to the first question: all three are left out
    made = draft(write(tmp_path, rows), str(tmp_path / "none"))
    assert [shown.gold for shown in made.rows] == ["4", "5", "6"]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    rows = [*rows_of(SHAPES["gsm8k"], 40), *rows_of(SHAPES["gsm8k"], 2)]
    rows[7] |= {"question": "one " * 3000}
    made = draft(write(tmp_path, rows), "demo")
    assert "2 of 42 rows are left out: 2 duplicate" in made.notes[-1]
    assert any("1 prompt is longer than data.max_prompt_tokens" in note for note in made.notes)
