"""Every format against rows written by hand from the trainer's documented schema; nothing of the user's is lost."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset
from jinja2 import Template

from learnalign.errors import InputError
from learnalign.handoff import Chosen, find_format
from learnalign.handoff.writing import JSONL, PARQUET, write_rows
from learnalign.names import FORMATS
from learnalign.prompts import Prompt
from tests.handoff.rows import OWN, SYSTEM, chosen, messages

ASKED = messages("1+1?")
BESIDE = {"solution": "count", "level": 3}
EXTRA = {"id": "id0", "index": 10, "verifier": "math", "prompt": "1+1?", "answer": "1 and 1 are 2 #### 2", **BESIDE}
MARK = {"row": 10, "verifier": "math", "columns": ["prompt", "answer", "solution", "level"]}
GOLD = "1 and 1 are 2 #### 2"

EXPECTED: dict[str, Any] = {
    "messages": {"id": "id0", "prompt": ASKED, "answer": "2", "source_prompt": "1+1?", "source_answer": GOLD}
    | {**BESIDE, "learnalign": MARK},
    "trl": {
        "id": "id0",
        "prompt": ASKED,
        "answer": "2",
        "solution": "2",
        "source_prompt": "1+1?",
        "source_answer": GOLD,
    }
    | {"source_solution": "count", "level": 3, "learnalign": MARK},
    "verl": {
        "data_source": "learnalign",
        "prompt": ASKED,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "2"},
        "extra_info": EXTRA,
    },
    "openrlhf": {"input": ASKED, "label": "2", "datasource": "learnalign", **EXTRA},
    "open-instruct": {
        "messages": [*ASKED, {"role": "assistant", "content": "2"}],
        "ground_truth": "2",
        "dataset": "math",
        "metadata": EXTRA,
    },
    "nemo-rl": {"input": "Solve: 1+1?", "output": "2", "metadata": EXTRA},
    "nemo-rl-chat": {
        "messages": [{"role": "user", "content": "Solve: 1+1?"}, {"role": "assistant", "content": "2"}],
        "metadata": EXTRA,
    },
    "skyrl": {
        "data_source": "learnalign",
        "prompt": ASKED,
        "env_class": "learnalign",
        "reward_spec": {"method": "rule", "ground_truth": "2"},
        "extra_info": EXTRA,
    },
    "slime": {"prompt": ASKED, "label": "2", "metadata": EXTRA},
    "verifiers": {"id": "id0", "question": "Solve: 1+1?", "prompt": ASKED, "answer": "2", "info": EXTRA},
    "nemo-gym": {
        "responses_create_params": {"input": ASKED},
        "question": "Solve: 1+1?",
        "expected_answer": "2",
        "verifier_metadata": {"expected_answer": "2", **EXTRA},
    },
}


def written(name: str, kind: str = JSONL, **more: Any) -> list[dict[str, Any]]:
    """The rows of a file, read back."""
    format, file = find_format(name), io.BytesIO()
    write_rows(file, format, format.rows(chosen(**more)), kind)
    if kind == PARQUET:
        return pq.read_table(file).to_pylist()
    return [json.loads(line) for line in file.getvalue().decode().splitlines()]


def test_rows_in_verls_form_stay_as_they_are_and_hold_the_prompt_once() -> None:
    own = {"data_source": "theirs", "prompt": messages("1+1?", system=False), "ability": "logic", "level": 3}
    own |= {"reward_model": {"style": "model", "ground_truth": "2", "weight": 1}, "extra_info": {"split": "train"}}
    prompt = Prompt("id0", 10, messages("1+1?"), "2", None, json.dumps(own))
    (row,) = find_format("verl").rows(Chosen(prompts=[prompt], verifier="math"))
    assert row == {
        **{name: own[name] for name in ("data_source", "ability", "reward_model")},
        "prompt": messages("1+1?"),
        "extra_info": {"id": "id0", "index": 10, "verifier": "math", "split": "train", "level": 3},
    }
    other = Prompt("id0", 10, messages("1+1?", system=False), "2.0", None, json.dumps(own | {"prompt": "Solve it"}))
    (row,) = find_format("verl").rows(Chosen(prompts=[other], verifier="math"))
    assert isinstance(row, dict)
    assert row["extra_info"]["prompt"] == "Solve it"
    assert row["extra_info"]["reward_model"] == own["reward_model"]
    assert row["reward_model"]["ground_truth"] == "2.0"


SETTINGS = {"enable_thinking": False, "effort": "low"}
TOLD = {
    "trl": "GRPOConfig(chat_template_kwargs={'enable_thinking': False, 'effort': 'low'})",
    "verl": "'++data.apply_chat_template_kwargs.enable_thinking=false' '++data.apply_chat_template_kwargs.effort=\"low\"'",
    "slime": """--apply-chat-template-kwargs '{"enable_thinking": false, "effort": "low"}'""",
    "skyrl": "generator.batched=false '++generator.chat_template_kwargs.enable_thinking=false'",
    "nemo-rl": "'++policy.tokenizer.chat_template_kwargs.enable_thinking=false'",
    "openrlhf": '{%- set enable_thinking = false -%}{%- set effort = "low" -%}',
    "roll": "{%- set enable_thinking = false -%}",
}


@pytest.mark.parametrize("name", TOLD)
def test_a_trainer_is_told_the_settings_of_the_chat_template(name: str) -> None:
    assert TOLD[name] in find_format(name).template_line(SETTINGS)
    assert find_format(name).template_line({}) == ""


def test_what_no_trainer_renders_says_nothing_of_the_chat_template() -> None:
    assert [find_format(name).template_line(SETTINGS) for name in ("messages", "source")] == ["", ""]


def test_the_line_for_a_model_without_such_a_setting_renders_the_same_prompt() -> None:
    template = "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %} no{% endif %} {{ effort }}"
    told = find_format("openrlhf").template_line(SETTINGS)
    begun = Template(told[told.index("{%-") :] + template)
    turns = [{"role": "user", "content": "1+1?"}]
    assert begun.render(messages=turns) == Template(template).render(messages=turns, **SETTINGS) == "1+1? no low"


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_rows_are_those_of_the_trainers_schema(name: str) -> None:
    rows = written(name)
    assert len(rows) == 2
    assert rows[0] == EXPECTED[name]
    if PARQUET in find_format(name).suffixes:
        assert written(name, PARQUET) == rows


def test_roll_gets_messages_and_the_users_columns_as_json_texts() -> None:
    row = written("roll")[0]
    assert {key: row[key] for key in ("id", "ground_truth", "tag", "domain")} == {
        "id": "id0",
        "ground_truth": "2",
        "tag": "learnalign",
        "domain": "math_rule",
    }
    assert (json.loads(row["messages"]), json.loads(row["metadata"])) == (ASKED, EXTRA)


def test_source_keeps_the_bytes_of_the_input_rows() -> None:
    file = io.BytesIO()
    write_rows(file, find_format("source"), find_format("source").rows(chosen()), JSONL)
    assert file.getvalue().decode() == "".join(f"{json.dumps(row)}\n" for row in OWN)


def test_no_format_loses_a_value_of_the_user() -> None:
    for name in FORMATS:
        text = json.dumps(written(name))
        assert all(value in text for value in ("1+1?", "1 and 1 are 2 #### 2", "count", "level")), name


def test_columns_of_mixed_kinds_are_loaded_as_texts(tmp_path: Any) -> None:
    """`datasets`, which most trainers load with, refuses a column of numbers and texts."""
    own = [{**OWN[0], "level": 3, "tags": {}}, {**OWN[1], "level": "hard", "tags": {"a": 1}}]
    for name in FORMATS:
        if name in ("messages", "source"):
            continue
        file = tmp_path / f"{name}.jsonl"
        with file.open("wb") as out:
            write_rows(out, find_format(name), find_format(name).rows(chosen(own)), JSONL)
        if not find_format(name).uniform:
            continue
        loaded = load_dataset("json", data_files=str(file), cache_dir=str(tmp_path / "cache"), split="train")
        assert isinstance(loaded, Dataset)
        assert len(loaded) == 2
        row = loaded[1]
        assert (
            next(part for part in (row, *row.values()) if isinstance(part, dict) and "level" in part)["level"]
            == '"hard"'
        )


def test_whatever_a_pool_holds_can_be_handed_over() -> None:
    odd = {"\ud800": 1, "big": 10**30, "nan": float("nan"), "empty": {}, "half": "\ud800x", "list": []}
    own = [{**OWN[0], **odd}, {**OWN[1], "\ud800": "x", "big": 1, "empty": [{}], "list": [1, "a"]}]
    for name in FORMATS:
        for kind in find_format(name).suffixes:
            file = io.BytesIO()
            write_rows(file, find_format(name), find_format(name).rows(chosen(own)), kind)
            rows = pq.read_table(file).num_rows if kind == PARQUET else len(file.getvalue().splitlines())
            assert rows == 2, (name, kind)


def test_a_verl_pool_keeps_its_data_source_and_extra_info() -> None:
    own = [
        {
            "data_source": "openai/gsm8k",
            "ability": "sums",
            "prompt": "1+1?",
            "reward_model": {"ground_truth": "2"},
            "extra_info": {"index": 99, "split": "train"},
        }
    ]
    row = written("verl", own=own)[0]
    assert (row["data_source"], row["ability"]) == ("openai/gsm8k", "sums")
    assert row["extra_info"] == {
        "id": "id0",
        "index": 10,
        "verifier": "math",
        "source_index": 99,
        "split": "train",
        "prompt": "1+1?",
    }
    assert row["reward_model"] == {"style": "rule", "ground_truth": "2"}
    assert written("verl", own=own, data_source="mine")[0]["data_source"] == "mine"


def test_trainers_own_verifiers_are_named_by_ours() -> None:
    assert written("open-instruct", verifier="gsm8k")[0]["dataset"] == "gsm8k"
    assert written("skyrl", verifier="gsm8k")[0]["env_class"] == "gsm8k"


def test_nemo_rl_has_the_system_message_in_a_file_of_its_own() -> None:
    for name in ("nemo-rl", "nemo-rl-chat"):
        assert find_format(name).beside(chosen(), "x.jsonl") == {"_system.txt": SYSTEM}
        assert find_format(name).beside(chosen(system=False), "x.jsonl") == {}


def test_nemo_rl_refuses_prompts_that_its_processor_would_cut() -> None:
    more = chosen(system=False)
    more.prompts[0].messages.insert(0, {"role": "assistant", "content": "Hello"})
    with pytest.raises(InputError, match=r"'id0' has 2 messages.*nemo-gym"):
        find_format("nemo-rl").rows(more)
    other = chosen()
    other.prompts[0].messages[0]["content"] = "Another."
    with pytest.raises(InputError, match=r"2 system messages.*nemo-gym"):
        find_format("nemo-rl").beside(other, "x.jsonl")
