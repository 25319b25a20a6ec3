"""Users' functions with TRL's and verl's signatures, unchanged."""

import math
from pathlib import Path

import pytest

from learnalign.errors import InputError
from learnalign.verify import Item, Verdict, open_verifier
from learnalign.verify.functions import load_function, to_verdict

MODULE = '''
import asyncio
from dataclasses import dataclass

def trl(prompts, completions, solution, level, **kwargs):
    """Needs every argument as GRPOTrainer passes it."""
    assert len(prompts) == len(completions) == len(solution) == len(level) == 1
    assert prompts[0][-1]["role"] == "user" and completions[0][0]["role"] == "assistant"
    kwargs["log_extra"]("seen", solution)
    kwargs["log_metric"]("level", 1.0)
    return [1.0 if completions[0][0]["content"] == solution[0] and level[0] == 3 else 0.0]

def trl_plain(completions, answer, **kwargs):
    assert kwargs["prompts"] == ["1+1="]
    return [float(completions[0] == answer[0])]

def trl_without_kwargs(completions, answer):
    return [None if answer[0] == "?" else float(completions[0] == answer[0])]

async def trl_later(completions, answer, **kwargs):
    await asyncio.sleep(0)
    return [float(completions[0] == answer[0])]

def verl(data_source, solution_str, ground_truth, extra_info=None):
    assert data_source == "gsm8k" and extra_info == {"index": 7}
    return 1.0 if solution_str == ground_truth else -1.0

def dapo(solution_str, ground_truth, strict_box_verify=False, pause_tokens_index=None):
    right = solution_str == ground_truth
    return {"score": 1.0 if right else -1.0, "acc": right, "pred": solution_str}

def too_many(completions, **kwargs):
    return [1.0, 1.0]

def words(completions, **kwargs):
    return ["right"]

def neither(text):
    return 1.0

class Judges:
    @staticmethod
    def inner(completions, answer, **kwargs):
        return [float(completions[0] == answer[0])]

constant = 3
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "__init__.py").touch()
    (tmp_path / "rewards" / "mine.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import json; json.loads('{')", encoding="utf-8")
    (tmp_path / "needs.py").write_text("import a_missing_package", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def score(function: str, *items: Item) -> list[Verdict]:
    with open_verifier(f"rewards.mine:{function}", workers=1) as verifier:
        assert verifier.check_golds([item.answer for item in items]) == [None] * len(items)
        return verifier.score(items)


def rewards(function: str, *items: Item) -> list[float | None]:
    return [verdict.reward for verdict in score(function, *items)]


def test_trl_function_gets_the_arguments_of_grpo_trainer() -> None:
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": "1+1?"}]
    source = {"prompt": messages, "level": 3}
    items = [Item("2", "2", messages, source), Item("3", "2", messages, source)]
    assert rewards("trl", *items, Item("2", "2", messages, {**source, "solution": "5"})) == [1.0, 0.0, 0.0]


def test_trl_function_gets_plain_text_if_the_prompt_is_text() -> None:
    items = [Item("2", "2", None, {"prompt": "1+1="}), Item("3", "2", None, {"prompt": "1+1="})]
    assert rewards("trl_plain", *items) == [1.0, 0.0]


def test_trl_none_is_unscorable_and_coroutines_are_awaited() -> None:
    assert rewards("trl_without_kwargs", Item("2", "2"), Item("2", "?")) == [1.0, None]
    assert rewards("trl_later", Item("2", "2"), Item("3", "2")) == [1.0, 0.0]


def test_trl_own_accuracy_reward_is_usable() -> None:
    user = [{"role": "user", "content": "1/2?"}]
    with open_verifier("trl.rewards.accuracy_rewards:accuracy_reward", workers=1, timeout=60) as verifier:
        items = [Item(text, "$\\frac{1}{2}$", user) for text in (r"\boxed{0.5}", r"\boxed{0.6}")]
        assert [verdict.reward for verdict in verifier.score(items)] == [1.0, 0.0]


def test_verl_compute_score_gets_its_row_and_minus_one_is_wrong() -> None:
    source = {"data_source": "gsm8k", "extra_info": {"index": 7}}
    assert rewards("verl", Item("2", "2", None, source), Item("3", "2", None, source)) == [1.0, 0.0]


def test_verl_dict_is_decided_by_acc() -> None:
    right, wrong = score("dapo", Item("2", "2"), Item("3", "2"))
    assert (right, wrong) == (Verdict(1.0, "acc 1"), Verdict(0.0, "acc 0"))


def test_nested_function_names_are_found() -> None:
    assert rewards("Judges.inner", Item("2", "2")) == [1.0]


@pytest.mark.parametrize("function", ["too_many", "words"])
def test_a_wrong_return_value_is_unscorable_not_wrong(function: str) -> None:
    [verdict] = score(function, Item("2", "2"))
    assert verdict.reward is None
    assert "TypeError" in verdict.reason


@pytest.mark.parametrize(
    ("result", "reward"),
    [
        (1, 1.0),
        (True, 1.0),
        (2.5, 1.0),
        (0.999, 0.0),
        (0.1, 0.0),
        (0, 0.0),
        (-1.0, 0.0),
        (None, None),
        (math.nan, None),
        ({"score": 1.0}, 1.0),
        ({"score": 0.1}, 0.0),
        ({"score": 0.1, "acc": 1.0}, 1.0),
        ({"score": 1.0, "acc": False}, 0.0),
        ({"score": None}, None),
    ],
)
def test_only_full_marks_are_correct(result: object, reward: float | None) -> None:
    assert to_verdict(result).reward == reward


@pytest.mark.parametrize("result", ["1", [1.0], math.inf, {"reward": 1.0}, object()])
def test_a_result_that_is_not_a_score_is_refused(result: object) -> None:
    with pytest.raises(TypeError):
        to_verdict(result)


def test_scalars_of_numpy_are_scores() -> None:
    import numpy as np

    assert to_verdict(np.float32(1.0)).reward == 1.0
    assert to_verdict(np.bool_(False)).reward == 0.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rewards.nothing:f", "no module 'rewards.nothing'; run in the directory"),
        ("rewards.mine:nothing", "has no function 'nothing'; it has dapo, "),
        ("rewards.mine:constant", "has no function 'constant'"),
        ("rewards.mine:neither", "has the parameters text; it needs TRL's"),
        ("broken:f", "importing broken failed: JSONDecodeError"),
        ("needs:f", "no module 'a_missing_package'"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_refused_with_a_way_out(name: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        open_verifier(name)
    assert message in str(error.value)


def test_arguments_are_passed_by_name_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(".")
    assert load_function("rewards.mine:dapo")("2", "2", None, None).reward == 1.0
