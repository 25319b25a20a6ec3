"""For every ready config, on rows of its pool's shape: what each trainer asks has the token ids that were scored."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from learnalign.config import load_config
from learnalign.demo import MODEL
from learnalign.errors import InputError
from learnalign.handoff import Chosen, find_format
from learnalign.handoff.handing import write_messages
from learnalign.handoff.writing import JSONL, PARQUET, write_rows
from learnalign.names import FORMATS
from learnalign.policy import prompt_ids, run_tokenizer
from learnalign.prompts import elsewhere, load_prompts, read_pool
from learnalign.rundir import RunDir

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    str(file.relative_to(ROOT / "configs").with_suffix(""))
    for folder in ("", "papers")
    for file in (ROOT / "configs" / folder).glob("*.yaml")
)

# The question and the gold that a policy is asked and judged by, and the row that holds them, by the pool.
DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer "
    "(without quotes) where $Answer is the answer to the problem.\n\n{}\n\nRemember to put your answer on its own line after "
    '"Answer:".'
)
SHAPES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "openai/gsm8k": lambda q, a: {"question": q, "answer": f"It is <<1+1={a}>>{a}.\n#### {a}"},
    "BytedTsinghua-SIA/DAPO-Math-17k": lambda q, a: {
        "data_source": "math_dapo",
        "prompt": [{"role": "user", "content": DAPO.format(q)}],
        "ability": "MATH",
        "reward_model": {"ground_truth": a, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"index of {q}"},
    },
    "zwhe99/MATH": lambda q, a: {"problem": q, "expected_answer": a, "solution": f"\\boxed{{{a}}}", "level": "Level 5"},
    "amc_train.json": lambda q, a: {"problem": q, "answer": a, "solution": f"\\boxed{{{a}}}"},
    "agentica-org/DeepScaleR-Preview-Dataset": lambda q, a: {"problem": q, "answer": a, "solution": "by hand"},
    "lime-nlp/DeepScaleR_Difficulty": lambda q, a: {"problem": q, "ground_truth": a, "solved_percentage": 12.5},
    "demo": lambda q, a: {"question": q, "answer": a, "solution": "by hand", "kind": "sum"},
    "demo-arithmetic": lambda q, a: {"question": q, "answer": a, "solution": "by hand", "kind": "sum"},
    "agentica-org/DeepCoder-Preview-Dataset": lambda q, a: {
        "problem": q,
        "starter_code": "",
        "tests": a,
        "metadata": {"func_name": None},
    },
    "BAAI/TACO": lambda q, a: {"question": q, "starter_code": "", "input_output": a, "difficulty": "EASY"},
    "demo-code": lambda q, a: {"question": q, "answer": a, "kind": "by hand"},
    "pool.jsonl": lambda q, a: {"messages": [{"role": "user", "content": q}], "answer": a, "task": "sums"},
}
ASKED = [("What is 1 + 1?", "2"), ("A box holds 3 pens.\n\nHow many do 4 hold?", "12")]
PROGRAMS = [
    ("Print one more than you read.", json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]})),
    ("Add two lines.\n\nPrint the sum.", json.dumps({"inputs": ["1\n2\n"], "outputs": ["3\n"]})),
]


def make_run(folder: Path, name: str) -> RunDir:
    """The config's run with the embedded model, on hand-made rows."""
    config = load_config(name)
    pool = config.data.path
    shape = SHAPES[pool if pool in SHAPES else Path(pool).name]
    pairs = PROGRAMS if config.verifier == "code" else ASKED
    (folder / "pool.jsonl").write_text("".join(json.dumps(shape(*pair)) + "\n" for pair in pairs))
    overrides = [f"data.path={folder / 'pool.jsonl'}", "model.name=demo", "data.max_prompt_tokens=4000"]
    return RunDir.create(folder / "run", load_config(name, overrides))


def asked_by(name: str, row: dict[str, Any], beside: dict[str, str]) -> list[dict[str, str]]:
    """The messages that the trainer renders: what its loader reads of the row."""
    if name in ("nemo-rl", "nemo-rl-chat"):
        question = row["input"] if name == "nemo-rl" else row["messages"][0]["content"]
        system = [{"role": "system", "content": text} for text in beside.values()]
        return [*system, {"role": "user", "content": question}]
    reads = {
        "openrlhf": lambda: row["input"],
        "open-instruct": lambda: row["messages"][:-1],
        "roll": lambda: json.loads(row["messages"]),
        "nemo-gym": lambda: row["responses_create_params"]["input"],
    }
    return reads.get(name, lambda: row["prompt"])()


@pytest.mark.parametrize("config", CONFIGS)
def test_every_trainer_asks_the_token_ids_that_were_scored(tmp_path: Path, config: str) -> None:
    run = make_run(tmp_path, config)
    prompts = load_prompts(run)
    pairs = [(prompt.messages[-1]["content"], prompt.answer) for prompt in prompts]
    if run.config.verifier == "code":  # the question with how to answer; the tests, or an object that holds them
        assert len(pairs) == len(PROGRAMS)
        for (text, gold), (question, tests) in zip(pairs, PROGRAMS, strict=True):
            assert text == question or text.startswith(f"{question}\n\n")
            assert gold == tests or json.loads(gold)["tests"] == tests
    else:
        assert pairs == ASKED
    scored = [prompt_ids(run_tokenizer(run), prompt.messages) for prompt in prompts]
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    template = run.config.data.chat_template_kwargs
    chosen = Chosen(prompts=prompts, verifier=run.config.verifier)
    for name in FORMATS:
        format = find_format(name)
        if name == "source":
            continue
        try:
            rows = format.rows(chosen)
        except InputError:
            assert run.config.data.few_shot, name  # turns before the question, which NeMo-RL cannot take
            assert name.startswith("nemo-rl")
            continue
        for kind in {JSONL, *format.suffixes} & {JSONL, PARQUET}:
            file = io.BytesIO()
            write_rows(file, format, rows, kind)
            read = (
                pq.read_table(file).to_pylist()
                if kind == PARQUET
                else [json.loads(line) for line in file.getvalue().decode().splitlines()]
            )
            asked = [asked_by(name, row, format.beside(chosen, "x.jsonl")) for row in read]
            rendered = [
                tokenizer.apply_chat_template(each, add_generation_prompt=True, return_dict=False, **template)
                for each in asked
            ]
            assert rendered == scored, (name, kind)
    write_messages(tmp_path / "subset.jsonl", run, prompts)
    again = read_pool(elsewhere(run.config.data, tmp_path / "subset.jsonl"))[0]
    assert [prompt_ids(run_tokenizer(run), prompt.messages) for prompt in again] == scored
    assert [(prompt.id, prompt.answer) for prompt in again] == [(prompt.id, prompt.answer) for prompt in prompts]
