"""A subset in the format `messages` is read as it was scored: no template, expression or system prompt is applied twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.config import DataConfig
from learnalign.handoff import Chosen
from learnalign.handoff.messages import scored_rows
from learnalign.prompts import elsewhere, read_pool
from learnalign.scored import beside, is_scored, mark, original
from tests.tiny import make_config

ROWS = [
    {"question": "Q: 1+1? END", "answer": "two #### 2", "solution": "work", "learnalign": "mine", "id": 7},
    {"question": "Q: 2+3? END", "answer": "five #### 5", "solution": None, "source_answer": "theirs", "id": 8},
    {"question": "Q: 4+4? END", "answer": "eight #### 8", "id": 9},
]
SETTINGS: dict[str, Any] = {
    "prompt_template": "Please: {question} Thanks.",
    "prompt_regex": r"Q: (.*) END",
    "answer_regex": r"#### (.+)",
    "system_prompt": "Be brief.",
    "solution": "solution",
}


@pytest.mark.parametrize("more", [{}, {"few_shot": 1}, {"id": "id"}, {"prompt_regex": None}])
def test_reading_the_subset_gives_the_prompts_that_were_scored(tmp_path: Path, more: dict[str, Any]) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    config = make_config(tmp_path, data={"path": str(pool), **SETTINGS, **more})
    pool.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    scored = read_pool(config.data)[0][::-1]
    assert scored[0].messages[0] == {"role": "system", "content": "Be brief."}
    subset = tmp_path / "subset.jsonl"
    rows = scored_rows(Chosen(prompts=scored, verifier="exact"))
    subset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again, left_out, _ = read_pool(elsewhere(config.data, subset))
    assert left_out == []
    for one, other in zip(again, scored, strict=True):
        assert (one.id, one.messages, one.answer, one.solution) == (
            other.id,
            other.messages,
            other.answer,
            other.solution,
        )
        assert list(json.loads(one.source).items()) == list(json.loads(other.source).items())


def test_a_row_of_the_input_with_these_columns_is_no_scored_one(tmp_path: Path) -> None:
    row = {"id": "a", "prompt": [{"role": "user", "content": "1+1?"}], "answer": "x #### 2", "learnalign": {"row": 1}}
    path = tmp_path / "pool.jsonl"
    path.write_text(json.dumps(row))
    prompts, _, _ = read_pool(DataConfig(path=str(path), answer_regex="#### (.*)", system_prompt="Be brief."))
    assert (prompts[0].answer, len(prompts[0].messages)) == ("2", 2)


NAMES = st.sampled_from(["id", "prompt", "answer", "learnalign", "source_answer", "source_source_answer", "x"])
COLUMNS = st.dictionaries(NAMES, st.integers(0, 2) | st.just("2"))


@given(st.lists(COLUMNS, min_size=1, max_size=4))
def test_no_column_of_the_user_is_lost_or_takes_the_place_of_ours(columns: list[dict[str, Any]]) -> None:
    ours = [
        {"id": "a", "prompt": [], "answer": "2", "learnalign": mark(0, {"verifier": "math"}, own)} for own in columns
    ]
    for row, mine, own in zip(beside(ours, columns), ours, columns, strict=True):
        assert is_scored(row)
        assert {name: row[name] for name in mine} == mine
        assert list(original(row).items()) == list(own.items())
