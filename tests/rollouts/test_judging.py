"""Reasoning that only the tokenizer knows of: tags that are special tokens, and a tag that the chat template opens."""

from pathlib import Path

import pytest

from learnalign.policy import prompt_ids
from learnalign.prompts import load_prompts
from learnalign.rollouts.again import verify_run
from learnalign.rollouts.groups import Rollout, load_opened, load_rollouts, write_rollouts
from learnalign.rollouts.judging import completion_texts, judge, opened_reasoning
from learnalign.rundir import RunDir
from learnalign.verify.configured import configured_verifier
from tests.tiny import CHATML, make_run, save_tokenizer

OPENING = CHATML.replace("assistant\n", "assistant\n<think>\n")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return make_run(tmp_path, count=1, verifier="math")


def test_special_tokens_that_are_reasoning_tags_stay_in_the_text(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path)
    ids = tokenizer("[THINK]I get 7.[/THINK]8<|im_end|>", add_special_tokens=False)["input_ids"]
    assert completion_texts(tokenizer, [ids], ()) == ["[THINK]I get 7.[/THINK]8"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]", "<|im_start|>"]})
    ids = tokenizer("<|im_start|>[THINK]I get 7.[/THINK]8<|im_end|>", add_special_tokens=False)["input_ids"]
    assert completion_texts(tokenizer, [ids], ())[0].replace(" ", "") == "[THINK]Iget7.[/THINK]8"


@pytest.mark.parametrize(("template", "opened"), [(CHATML, ""), (OPENING, "<think>")])
def test_the_tag_that_the_template_opens_is_found(tmp_path: Path, template: str, opened: str) -> None:
    tokenizer = save_tokenizer(tmp_path)
    tokenizer.chat_template = template
    ids = prompt_ids(tokenizer, [{"role": "user", "content": "What is <think>?"}])
    assert opened_reasoning(tokenizer, ids, ()) == opened


def test_reasoning_that_the_prompt_began_is_no_answer_until_it_is_closed(run: RunDir) -> None:
    [prompt] = load_prompts(run)
    gold = prompt.answer
    texts = [f"I get {gold}.", f"Is it 1? </think> The answer is {gold}.", f"It is {gold}</think> I do not know."]
    with configured_verifier(run.config) as verifier:
        verdicts = judge(verifier, [(prompt, text) for text in texts], "<think>")
        assert [verdict.reward for verdict in verdicts] == [0.0, 1.0, 0.0]
        assert judge(verifier, [(prompt, texts[0])])[0].reward == 1.0


def test_a_run_remembers_what_its_prompts_opened(run: RunDir) -> None:
    [prompt], [shard] = load_prompts(run), run.shards()
    with run.stage("rollout"):
        text = f"I get {prompt.answer}."
        write_rollouts(run, shard, [Rollout(prompt.id, 0, [1], [2], text, 0.0, "length")], opened="<think>")
    assert load_opened(run, shard) == "<think>"
    assert [one.text for one in load_rollouts(run, shard)] == [text]
    report = verify_run(run.path, [], None)
    assert [(tally.correct, tally.wrong) for tally in report.tallies] == [(0, 1), (0, 1)]
