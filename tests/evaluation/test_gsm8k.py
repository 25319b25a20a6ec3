"""The ready test set on GSM8K's own test file, if LEARNALIGN_GSM8K names the directory that holds test.jsonl."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from learnalign.evaluation import evaluate
from learnalign.evaluation.testset import evaluation_config
from learnalign.prompts import load_prompts, read_pool
from learnalign.rundir import RunDir
from tests.tiny import make_run

FOLDER = os.environ.get("LEARNALIGN_GSM8K")
pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="LEARNALIGN_GSM8K does not name a directory with GSM8K's test.jsonl"
)


def _file() -> str:
    assert FOLDER
    return f"data.path={Path(FOLDER) / 'test.jsonl'}"


def test_every_answer_is_a_usable_number(tmp_path: Path) -> None:
    run = make_run(tmp_path, data={"max_prompt_tokens": 2000}, verifier="gsm8k")
    config = evaluation_config(run, "gsm8k", "base", [_file()])
    prompts, left_out, rows = read_pool(config.data)
    assert (rows, len(prompts), left_out) == (1319, 1319, [])
    assert all(prompt.answer.replace(",", "").lstrip("-").isdigit() for prompt in prompts)
    assert len(load_prompts(RunDir.create(tmp_path / "sub", config))) == 1319


def test_it_is_evaluated_end_to_end(tmp_path: Path) -> None:
    run = make_run(tmp_path, data={"max_prompt_tokens": 500}, verifier="gsm8k")
    result = evaluate(run, "gsm8k", policy="base", overrides=[_file(), "data.limit=8", "eval.max_completion_length=8"])
    assert (result.name, result.questions + result.left_out, result.value) == ("gsm8k-base", 8, 0.0)
    assert result.metrics["pass@1"].high > 0.1
