"""The reward functions for TRL and verl: they judge as p was measured, in the trainer's own process."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import load_dataset
from trl import GRPOConfig, GRPOTrainer

from learnalign.demo import MODEL
from learnalign.handoff import find_format
from learnalign.handoff.judging import score
from learnalign.handoff.slime import reward as slime_reward
from learnalign.handoff.trl import reward
from learnalign.handoff.verl import compute_score
from learnalign.handoff.writing import JSONL, write_rows
from learnalign.policy import prompt_ids
from tests.handoff.rows import OWN, chosen


def test_trl_rewards_are_the_verdicts_of_each_rows_verifier() -> None:
    completions = [[{"role": "assistant", "content": text}] for text in (r"\boxed{2.0}", r"\boxed{3}", "#### 2", "2.0")]
    mark = [{"row": 0, "verifier": name, "columns": []} for name in ("math", "math", "gsm8k", "exact")]
    assert reward(completions, ["2"] * 4, learnalign=mark) == [1.0, 0.0, 1.0, 0.0]
    assert reward(["so \\boxed{2}"], ["2"]) == [1.0]
    assert reward([r"\boxed{2}"], ["\\frac{"]) == [None]


def test_reasoning_is_cut_as_it_was_when_p_was_measured() -> None:
    mark = [{"row": 0, "verifier": "math", "reasoning_tags": tags, "columns": []} for tags in (["scratch"], None)]
    text = "<scratch>\\boxed{2}</scratch> I do not know"
    assert reward([text, text], ["2", "2"], learnalign=mark) == [0.0, 1.0]


def test_a_users_own_verifier_gets_the_pools_columns() -> None:
    own = [{"data_source": "theirs", "extra_info": {"a": 1}, "prompt": "?"}]
    row = find_format("trl").rows(chosen(own, verifier="tests.handoff.judges:seen"))[0]
    assert isinstance(row, dict)
    columns = {name: [value] for name, value in row.items() if name != "answer"}
    assert reward(["2"], [row["answer"]], **columns) == [1.0]


def test_verl_gets_a_score_for_its_positional_and_keyword_calls() -> None:
    assert list(inspect.signature(compute_score).parameters)[:4] == [
        "data_source",
        "solution_str",
        "ground_truth",
        "extra_info",
    ]
    assert compute_score("any", r"\boxed{2.0}", "2", {"verifier": "math"}) == {"score": 1.0, "acc": True}
    assert compute_score("any", r"\boxed{2.0}", "2", extra_info={"verifier": "exact"}) == {"score": 0.0, "acc": False}
    assert compute_score("any", "#### 2", "2", None, verifier="gsm8k", sandbox_fusion_url=None)["acc"]
    assert compute_score("any", "2", "\\frac{") == {"score": 0.0, "acc": False}


def test_the_other_trainers_judge_by_the_rows_verifier() -> None:
    for name, place in (("skyrl", "extra_info"), ("verifiers", "info"), ("slime", "metadata")):
        for verifier, rewards in (("exact", [1.0, 0.0]), ("math", [1.0, 1.0])):
            row = find_format(name).rows(chosen(verifier=verifier))[0]
            assert [score(text, "2", row[place]) for text in ("2", "2.0")] == rewards
    sample = SimpleNamespace(response="2.0", label="2", metadata={"verifier": "math"})
    assert asyncio.run(slime_reward(None, sample)) == 1.0


def openrlhf_rewards(verifier: str, queries: list[str], prompt: str) -> list[float]:
    """What the module beside OpenRLHF's file says, as OpenRLHF calls it: one text at a time, by position."""
    (text,) = find_format("openrlhf").beside(chosen(verifier=verifier), "openrlhf.jsonl").values()
    module: dict[str, Any] = {}
    exec(text, module)
    told = [module["reward_func"]([query], [prompt], ["2"]) for query in queries]
    assert all(one["rewards"].shape == one["scores"].shape == (1,) for one in told)
    return [float(one["scores"][0]) for one in told]


def test_openrlhf_loads_a_function_that_judges_what_follows_the_prompt() -> None:
    prompt = "<|im_start|>system\nBox it, as \\boxed{2}.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    queries = [f"{prompt}{text}<|im_end|>" for text in ("2.0", "2", r"\boxed{3}", "")]
    assert openrlhf_rewards("math", [f"{prompt}\\boxed{{{n}}}<|im_end|>\n" for n in ("2.0", "3")], prompt) == [1.0, 0.0]
    assert openrlhf_rewards("exact", queries, prompt) == [0.0, 1.0, 0.0, 0.0]
    cut = prompt[len("<|im_start|>") :]  # OpenRLHF cuts a prompt that is too long at its beginning
    assert openrlhf_rewards("exact", [f"{cut}{text}<|endoftext|>" for text in ("2", "3")], prompt) == [1.0, 0.0]


def test_a_reasoning_that_the_prompt_opened_is_none_of_the_answer() -> None:
    """A chat template may end in <think>: a completion cut off in it has no answer, whatever it says there."""
    row = find_format("trl").rows(chosen(opened="<think>"))[0]
    text = r"Perhaps \boxed{2}, but let me"
    assert reward([text], ["2"], learnalign=[row["learnalign"]]) == [0.0]
    assert reward([text], ["2"], learnalign=[{**row["learnalign"], "opened": ""}]) == [1.0]
    info = find_format("verl").rows(chosen(opened="<think>"))[0]["extra_info"]
    assert compute_score("any", text, "2", info)["score"] == 0.0


@pytest.mark.parametrize("system", [False, True])
def test_grpo_trainer_trains_two_steps_on_the_file(tmp_path: Path, system: bool) -> None:
    file = tmp_path / "trl.jsonl"
    rows = find_format("trl").rows(chosen([*OWN], system=system))
    with file.open("wb") as out:
        write_rows(out, find_format("trl"), rows, JSONL)
    data = load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    asked: list[str] = []

    def spy(completions, answer, **columns):
        asked.extend(json.dumps(prompt) for prompt in columns["prompts"])
        return reward(completions, answer, **columns)

    arguments = GRPOConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=2,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=4,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
    )
    trainer = GRPOTrainer(model=str(MODEL), reward_funcs=spy, args=arguments, train_dataset=data)
    trainer.train()
    assert trainer.state.global_step == 2
    assert set(asked) == {json.dumps(row["prompt"]) for row in rows if isinstance(row, dict)}
    tokenizer = trainer.processing_class
    assert prompt_ids(tokenizer, data[0]["prompt"]) == prompt_ids(tokenizer, chosen(system=system).prompts[0].messages)
