"""Ready configs of code tasks, on hand-made rows of their data sets: what is asked, and which tests the gold holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnalign.config import DataConfig, load_config
from learnalign.evaluation import evaluation_config
from learnalign.names import TEST_SETS
from learnalign.prompts import read_pool
from learnalign.verify.code.shapes import read_cases
from tests.tiny import make_run
from tests.verify.code.rows import ROWS, CodeRow

BY_NAME = {row.name: row for row in ROWS}
# The rows that a config reads, by the name of rows.py.
POOLS = {
    "deepcoder": ["DeepCoder primeintellect", "DeepCoder primeintellect calls", "DeepCoder taco"],
    "deepcoder-lcbv5": ["DeepCoder lcbv5 stdin", "DeepCoder lcbv5 functional"],
    "taco": ["APPS stdin", "TACO stdin in lines", "TACO calls", "TACO calls that return lists"],
    "papers/gain-deepcoder": ["DeepCoder primeintellect", "DeepCoder primeintellect calls", "DeepCoder taco"],
}
SETS = {
    "livecodebench": ["DeepCoder lcbv5 stdin", "DeepCoder lcbv5 functional"],
    "livecodebench-files": ["LiveCodeBench stdin", "LiveCodeBench functional"],
    "codeforces": ["DeepCoder codeforces"],
    "codeforces-official": ["Codeforces", "Codeforces with a checker"],
    "humanevalplus": ["HumanEval+"],
    "mbppplus": ["MBPP+"],
    "cruxeval-input": ["CRUXEval-I", "CRUXEval-I with a loop"],
}
ASKED = ("problem", "question", "question_content", "description", "code", "prompt")


def _check(data: DataConfig, names: list[str], folder: Path) -> None:
    rows = [BY_NAME[name] for name in names]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row.row) + "\n" for row in rows))
    prompts, left_out, _ = read_pool(data.model_copy(update={"path": str(file)}))
    assert left_out == []
    for row, prompt in zip(rows, prompts, strict=True):
        cases, told = read_cases(prompt.answer), read_cases(row.gold)
        assert (cases.printed, cases.calls, cases.assertions) == (told.printed, told.calls, told.assertions)
        assert (cases.entry_point, cases.checker, cases.prelude) == (told.entry_point, told.checker, told.prelude)
        _check_question(row, prompt.messages[-1]["content"])


def _check_question(row: CodeRow, text: str) -> None:
    """The question holds what the row says, shows a fenced program, and nothing of the tests that is not shown on purpose."""
    question = next(
        row.row[name] for name in ASKED if name in row.row and (name != "code" or row.name.startswith("CRUXEval-I"))
    )
    assert question.strip() in text
    assert (row.row.get("starter_code") or "").strip() in text
    assert "```python\n" in text
    assert text.count("```") % 2 == 0
    columns = [row.answer] if isinstance(row.answer, str) else row.answer
    shown = ("prompt", "code", "output", "entry_point", "metadata", "time_limit", "memory_limit", "input_mode")
    hidden = [row.row[name] for name in columns if name not in shown and row.row.get(name)]
    assert not any(str(value) in text or json.dumps(value) in text for value in hidden)


@pytest.mark.parametrize("name", POOLS)
def test_a_ready_pool_of_code_tasks_asks_for_programs_and_holds_their_tests(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert (config.verifier, config.verifier_sandbox) == ("code", "local")
    assert (config.data.max_prompt_tokens, config.rollout.max_completion_length) == (2048, 16384)
    _check(config.data, POOLS[name], tmp_path)


@pytest.mark.parametrize("name", SETS)
def test_a_ready_test_set_of_code_tasks_asks_for_programs_and_holds_their_tests(name: str, tmp_path: Path) -> None:
    config = evaluation_config(make_run(tmp_path / "run"), name, "base", [])
    assert (config.verifier, config.verifier_sandbox) == ("code", "local")
    _check(config.data, SETS[name], tmp_path)


def test_every_test_set_that_runs_programs_is_tried_here() -> None:
    assert set(SETS) == {name for name, about in TEST_SETS.items() if "runs programs" in about}


def test_the_sandbox_of_the_run_goes_before_the_test_set_s(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", verifier="code", verifier_sandbox="http://sandbox:8080")
    assert evaluation_config(run, "humanevalplus", "base", []).verifier_sandbox == "http://sandbox:8080"


def test_limits_of_a_test_set_are_its_own(tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    file.write_text("data: {path: x.jsonl}\nverifier: code\nverifier_sandbox: local\nverifier_limits: {seconds: 9}\n")
    limits = evaluation_config(make_run(tmp_path / "run"), str(file), "base", []).verifier_limits
    assert limits.seconds == 9
    assert limits.memory == make_run(tmp_path / "other").config.verifier_limits.memory


def test_livecodebench_s_files_are_taken_by_date(tmp_path: Path) -> None:
    row = BY_NAME["LiveCodeBench stdin"].row
    dates = ["2024-07-31T00:00:00", "2024-08-01T00:00:00", "2025-01-31T00:00:00", "2025-02-01T00:00:00"]
    for number, date in enumerate(dates, 1):
        own = {**row, "question_id": date, "question_content": f"Task {number}", "contest_date": date}
        (tmp_path / f"test{number if number > 1 else ''}.jsonl").write_text(json.dumps(own) + "\n")
    config = evaluation_config(make_run(tmp_path / "run"), "livecodebench-files", "base", [f"data.path={tmp_path}"])
    prompts, left_out, _ = read_pool(config.data)
    assert [prompt.id for prompt in prompts] == dates[1:3]
    assert len(left_out) == 2
