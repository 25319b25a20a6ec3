"""The demo's code tasks: the script makes the files, the completions are judged as they were written, and all of it fits the model."""

import json
from collections import Counter
from pathlib import Path

import pytest

from learnalign import demo
from learnalign.config import load_config
from learnalign.demo import code
from learnalign.policy import load_tokenizer, prompt_ids
from learnalign.rollouts import import_rollouts
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir
from learnalign.verify import Item, open_verifier


def test_the_script_makes_the_embedded_files(tmp_path: Path) -> None:
    code.write(tmp_path)
    for embedded in (demo.CODE_POOL, demo.CODE_COMPLETIONS):
        assert (tmp_path / embedded.name).read_bytes() == embedded.read_bytes()


def test_there_are_sixty_tasks_of_every_success_rate() -> None:
    made = code.tasks()
    assert len({question for question, _, _ in made}) == len(made) == 60
    rates = Counter(sum(right for _, right in drawn) for _, _, drawn in made)
    assert all(rates[correct] >= 3 for correct in range(code.SAMPLES + 1))


def test_a_task_and_its_completions_fit_the_model() -> None:
    tokenizer = load_tokenizer(load_config("demo-code"))
    for question, _, drawn in code.tasks():
        asked = prompt_ids(tokenizer, [{"role": "user", "content": question}])
        assert len(asked) + max(len(tokenizer(text)["input_ids"]) for text, _ in drawn) < 256


@pytest.mark.slow
def test_every_completion_is_judged_as_it_was_written(sandbox_here: None) -> None:
    items = [(Item(text, json.dumps(tests)), right) for _, tests, drawn in code.tasks() for text, right in drawn]
    with open_verifier("code", sandbox="local") as verifier:
        verdicts = verifier.score([item for item, _ in items])
    assert [item for (item, right), verdict in zip(items, verdicts, strict=True) if verdict.reward != right] == []


def test_the_completions_are_imported_by_name(sandbox_here: None, tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", load_config("demo-code", ["data.limit=4"]))
    result = import_rollouts(run, "demo-code")
    assert (result.rows, len(result.unmatched)) == (60, 56)
    correct = {question: sum(right for _, right in drawn) for question, _, drawn in code.tasks()}
    asked = [json.loads(line)["question"] for line in demo.CODE_POOL.read_text().splitlines()[:4]]
    assert [row.correct for row in load_success(run).values()] == [correct[question] for question in asked]
