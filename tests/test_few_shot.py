"""Worked examples: the same turns before every question, never asked themselves, and what else knows of them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from learnalign.config import DataConfig, load_config
from learnalign.errors import InputError
from learnalign.evaluation.testset import settings_of
from learnalign.policy import load_tokenizer
from learnalign.prompts import load_prompts, read_pool
from learnalign.rollouts.imports import import_rollouts
from learnalign.rounds import round_config
from learnalign.rundir import RunDir
from learnalign.signals import signal
from learnalign.training.train_stage import sub_config
from tests.signals.test_angle import full_matrix
from tests.tiny import make_run

ROWS: list[dict[str, Any]] = [
    {"q": "1 + 1?", "gold": "2", "why": "Two ones: 2"},
    {"q": "2 + 2?", "gold": "4", "why": None},
    {"q": "3 + 3?", "gold": "6", "why": "Three twice: 6"},
    {"q": "4 + 4?", "gold": "8", "why": "Four twice: 8"},
    {"q": "1 + 1?", "gold": "2", "why": "again"},
]
SHOWN = [("1 + 1?", "Two ones: 2"), ("3 + 3?", "Three twice: 6")]


def write(path: Path, rows: list[Any]) -> str:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(lines if path.suffix == ".jsonl" else json.dumps(rows), encoding="utf-8")
    return str(path)


def pool(folder: Path, **more: Any) -> DataConfig:
    path = write(folder / "pool.jsonl", ROWS)
    return DataConfig(path=path, prompt="q", answer="gold", solution="why", **more)


def turns(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": r, "content": c} for q, a in pairs for r, c in (("user", q), ("assistant", a))]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_examples_may_have_parts_of_text_and_no_half_of_a_surrogate_pair(tmp_path: Path) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "a?"}]}, {"role": "assistant", "content": "A"}]
    path = write(tmp_path / "e.jsonl", [{"messages": parts}])
    assert read_pool(pool(tmp_path, few_shot=path))[0][0].messages[:2] == turns([("a?", "A")])
    write(tmp_path / "e.jsonl", [{"messages": turns([("a\ud800", "A")])}])
    with pytest.raises(InputError, match="half a surrogate pair"):
        read_pool(pool(tmp_path, few_shot=path))


def test_a_question_with_other_white_space_than_its_example_is_not_asked(tmp_path: Path) -> None:
    data = pool(tmp_path, few_shot=[{"question": "2 + 2?\n", "answer": "4"}])
    assert "2 + 2?" not in [prompt.messages[-1]["content"] for prompt in read_pool(data)[0]]


@pytest.mark.parametrize("name", ["e.jsonl", "e.json"])
@pytest.mark.parametrize(
    "rows",
    [
        [{"messages": turns([("a?", "A"), ("b?", "B")])}],
        [{"messages": turns([("a?", "A")])}, {"messages": turns([("b?", "B")])}],
        [{"question": "a?", "answer": "A"}, {"question": "b?", "answer": "B"}],
        [{"q": "a?", "why": "A", "gold": "0"}, {"q": "b?", "gold": "B", "why": None}],
    ],
)
def test_a_file_s_examples_stand_between_system_prompt_and_question(tmp_path: Path, name: str, rows: list[Any]) -> None:
    examples = write(tmp_path / name, rows)
    prompts, left_out, count = read_pool(pool(tmp_path, few_shot=examples, system_prompt="S"))
    before = [{"role": "system", "content": "S"}, *turns([("a?", "A"), ("b?", "B")])]
    assert [p.messages for p in prompts] == [[*before, user(q)] for q in ("1 + 1?", "2 + 2?", "3 + 3?", "4 + 4?")]
    assert len(prompts) + len(left_out) == count


def test_the_first_k_solved_rows_are_examples_and_are_not_asked(tmp_path: Path) -> None:
    prompts, left_out, count = read_pool(pool(tmp_path, few_shot=2))
    assert [p.messages for p in prompts] == [[*turns(SHOWN), user(q)] for q in ("2 + 2?", "4 + 4?")]
    assert {(entry.row, entry.reason) for entry in left_out if "worked" in entry.reason} == {
        (0, "worked example of data.few_shot"),
        (2, "worked example of data.few_shot"),
    }
    assert len(prompts) + len(left_out) == count == 5


def test_without_a_solution_column_the_gold_answers_are_shown(tmp_path: Path) -> None:
    data = pool(tmp_path, few_shot=1).model_copy(update={"solution": None})
    assert read_pool(data)[0][0].messages == [*turns([("1 + 1?", "2")]), user("2 + 2?")]


def test_a_question_that_a_file_answers_is_not_asked(tmp_path: Path) -> None:
    examples = write(tmp_path / "e.jsonl", [{"question": "4 + 4?", "answer": "8"}])
    prompts, left_out, _ = read_pool(pool(tmp_path, few_shot=examples))
    assert [p.messages[-1]["content"] for p in prompts] == ["1 + 1?", "2 + 2?", "3 + 3?"]
    assert (3, "worked example of data.few_shot") in {(entry.row, entry.reason) for entry in left_out}


def test_ids_and_source_rows_are_those_without_examples(tmp_path: Path) -> None:
    plain = {p.row: (p.id, p.source) for p in read_pool(pool(tmp_path, system_prompt="S"))[0]}
    for few_shot in (2, [{"question": "a?", "answer": "A"}]):
        prompts, _, _ = read_pool(pool(tmp_path, system_prompt="S", few_shot=few_shot))
        assert {p.row: (p.id, p.source) for p in prompts}.items() <= plain.items()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("none.jsonl", None, "no such file"),
        ("e.txt", "x", "not a .json or .jsonl file"),
        ("e.jsonl", "", "it has no rows"),
        ("e.json", "[]", "it has no rows"),
        ("e.jsonl", "{broken\n", "line 1"),
        ("e.jsonl", '{"question": "a?", "answer": "A"}\n{"x": 1}\n', "e.jsonl, line 2: no worked example"),
        ("e.jsonl", '{"question": "a?", "answer": " "}\n', "line 1: no worked example"),
        ("e.jsonl", json.dumps({"messages": [user("a?")]}), "turns of user and assistant"),
        ("e.jsonl", json.dumps({"messages": [{"role": "system", "content": "S"}, *turns([("a?", "A")])]}), "system"),
        ("e.jsonl", json.dumps({"messages": "a?"}), "turns of user and assistant"),
        ("e.jsonl", json.dumps({"messages": turns([("a?", " ")])}), "a message has no text"),
    ],
)
def test_a_file_without_examples_is_refused_by_name(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_pool(pool(tmp_path, few_shot=str(tmp_path / name)))
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_more_examples_than_the_pool_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"data\.few_shot 4: .*pool\.jsonl has only 3 usable rows with a worked solution"
    ):
        read_pool(pool(tmp_path, few_shot=4))


@pytest.mark.parametrize("value", ["0", "-1", "[{question: a}]", "[{question: '', answer: b}]", "1.5"])
def test_a_wrong_setting_is_refused_by_name(value: str) -> None:
    with pytest.raises(InputError, match=r"data\.few_shot"):
        load_config("demo", [f"data.few_shot={value}"])


def test_a_pool_of_examples_alone_is_refused_with_the_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=3, data={"few_shot": 3})
    with pytest.raises(InputError, match=r"none of 3 rows can be used \(3 worked example"):
        load_prompts(run)


def test_examples_count_as_tokens_of_the_prompt(tmp_path: Path) -> None:
    long = [{"question": "a?", "answer": "A" * 100}]
    run = make_run(tmp_path, data={"few_shot": long, "max_prompt_tokens": 120})
    with pytest.raises(
        InputError, match=r"data\.few_shot: with the worked examples, the shortest prompt has at least 1\d\d tokens"
    ):
        load_prompts(run)


def test_a_changed_file_of_examples_is_refused(tmp_path: Path) -> None:
    examples = write(tmp_path / "e.jsonl", [{"question": "a?", "answer": "A"}])
    run = make_run(tmp_path, data={"few_shot": examples})
    load_prompts(run)
    write(tmp_path / "e.jsonl", [{"question": "a?", "answer": "B"}])
    with pytest.raises(InputError, match=r"few_shot .*e\.jsonl has changed"):
        load_prompts(RunDir.open(run.path))


def test_subsets_rounds_and_test_sets_show_the_pool_s_examples(tmp_path: Path) -> None:
    """K of the pool must not become K of the subset, of the rest of the pool, or of the test questions."""
    run = make_run(tmp_path, data={"few_shot": 2})
    other = Path(write(tmp_path / "other.jsonl", [{"question": f"q{i}?", "answer": str(i)} for i in range(3)]))
    messages = load_prompts(run)[0].messages[:-1]
    assert len(messages) == 4
    (tmp_path / "set.yaml").write_text(f"data: {{path: {other}, prompt: question}}\n")
    (tmp_path / "own.yaml").write_text(f"data: {{path: {other}, prompt: question, few_shot: null}}\n")

    def data_of(name: str) -> DataConfig:
        return DataConfig.model_validate(settings_of(run.config, str(tmp_path / name))["data"])

    inherit = [sub_config(run.config, other).data, round_config(run.config, {}, other).data, data_of("set.yaml")]
    for data in [*inherit, DataConfig.model_validate(settings_of(run.config, str(other))["data"])]:
        assert [p.messages for p in read_pool(data)[0]] == [[*messages, user(f"q{i}?")] for i in range(3)]
    assert [p.messages for p in read_pool(data_of("own.yaml"))[0]] == [[user(f"q{i}?")] for i in range(3)]


def test_imported_rollouts_name_a_prompt_with_or_without_its_examples(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=6, data={"few_shot": 2})
    prompts = load_prompts(run)
    named = [p.messages if i % 2 else p.messages[-1]["content"] for i, p in enumerate(prompts)]
    file = write(tmp_path / "r.jsonl", [{"prompt": name, "completion": "x"} for name in named])
    result = import_rollouts(run, file)
    assert (result.rows, result.unmatched, result.without_rollouts) == (4, {}, 0)


def test_worked_examples_are_the_first_segment_of_the_angle_signal(tmp_path: Path) -> None:
    """On the demo, C_inter is the mean cosine of the whole m × m matrix between question and examples, in float64."""
    settings = ["data.limit=12", "data.few_shot=2", "warmup.size=0", "model.dtype=float32"]
    run = RunDir.create(tmp_path / "run", load_config("demo", settings))
    signal(run, ["angle"])
    rows = {row["id"]: row for row in pq.read_table(run.signal_file("angle")).to_pylist()}
    tokenizer = load_tokenizer(run.config)
    model = AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path, dtype=torch.float64)
    prompts = load_prompts(run)
    assert len(prompts) == 10
    for prompt in prompts:
        text = tokenizer.apply_chat_template(prompt.messages, tokenize=False, add_generation_prompt=True)
        first = tokenizer.apply_chat_template(prompt.messages[:-1], tokenize=False)
        assert text.startswith(first)
        ids, start = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text, first))
        intra, inter = full_matrix(model, ids, len(start))
        assert rows[prompt.id]["c_intra"] == pytest.approx(intra, rel=1e-5)
        assert rows[prompt.id]["c_inter"] == pytest.approx(inter, rel=1e-5)
