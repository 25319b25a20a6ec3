"""What stands in the reasoning is no answer, and does not hide the answer after it."""

import random
from pathlib import Path

import pytest

from learnalign.config import DataConfig
from learnalign.errors import InputError
from learnalign.evaluation.testset import settings_of
from learnalign.prompts import elsewhere
from learnalign.rundir.stages import settings_of as stage_settings
from learnalign.verify import Item, open_verifier
from learnalign.verify.builtin import BUILT_IN
from learnalign.verify.reasoning import without_reasoning
from tests.tiny import make_config, make_run

PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("[THINK]", "[/THINK]"),
    ("<THINK>", "</Think>"),
]
FORMS = {
    "math": "The answer is {}.",
    "boxed": r"So \boxed{{{}}}.",
    "answer_tag": "<answer>{}</answer>",
    "gsm8k": "#### {}",
    "exact": "{}",
    "literal": "[ANSWER]{}[/ANSWER]",
}


def judge(name: str, *completions: str, tags: tuple[str, ...] = ()) -> list[tuple[float | None, str]]:
    with open_verifier(name, workers=1, reasoning_tags=tags) as verifier:
        return [(v.reward, v.reason) for v in verifier.score([Item(text, "5") for text in completions])]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("{o}a{c} b", "b"),
        ("a{c}b", "b"),
        ("{o}a", ""),
        ("a {o}b", ""),
        ("{o}a{c}b{o}c{c}d", "b d"),
        ("{o}a{o}b{c}c{c}d", "d"),
        ("a{c}b{c}c", "c"),
        ("{o}a{c}b{o}c", ""),
        ("{o}a{c}", ""),
        ("1{o}a{c}2", "1 2"),
        ("{o}<answer>{c}a</answer>{c}b", "b"),
        ("<answer>1</answer>{c}<answer>2</answer>", "<answer>2</answer>"),
        ("in <answer> {c} so <answer>2</answer>", "so <answer>2</answer>"),
    ],
)
def test_only_what_follows_the_reasoning_is_left(opening: str, closing: str, text: str, rest: str) -> None:
    left = without_reasoning(text.format(o=opening, c=closing))
    assert " ".join(left.split()) == rest


@pytest.mark.parametrize(
    "text",
    [
        "no tags",
        "a < b [0, 1] think",
        "<answer>the <think> tag</answer>",
        "<answer>close with </think></answer>",
        "[ANSWER]'</thought>'[/ANSWER]",
        "<thinker>a</thinker>",
        "think: a /think",
    ],
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert without_reasoning(text) == text


def test_markers_of_the_solution_are_stripped() -> None:
    text = "<|begin_of_thought|>4<|end_of_thought|>\n\n<|begin_of_solution|>5<|end_of_solution|>"
    assert without_reasoning(text).strip() == "5"


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_an_answer_in_the_reasoning_alone_is_no_answer(name: str) -> None:
    answer = FORMS[name].format(5)
    texts = [f"<think>{answer}</think>", f"<think>{answer}", f"{answer}</think>"]
    assert judge(name, *texts) == [(0.0, "no answer after the reasoning")] * 3


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_the_answer_after_the_reasoning_counts_whatever_stands_in_it(name: str) -> None:
    right, wrong = FORMS[name].format(5), FORMS[name].format(6)
    verdicts = judge(
        name, f"<think>{wrong}</think>\n{right}", f"{wrong}</think>{right}", f"<think>{right}</think>{wrong}"
    )
    assert [reward for reward, _ in verdicts] == [1.0, 1.0, 0.0]


def test_a_box_in_the_reasoning_does_not_hide_prose_after_it() -> None:
    assert judge("math", r"<think>\boxed{7}</think> The answer is 5.")[0][0] == 1.0


@pytest.mark.parametrize(
    ("tag", "opening", "closing"),
    [
        ("scratch", "<Scratch>", "</scratch>"),
        ("[[T]] [[/T]]", "[[T]]", "[[/T]]"),
        ("◁denk▷ ◁/denk▷", "◁denk▷", "◁/denk▷"),
    ],
)
def test_other_tags_can_be_named(tag: str, opening: str, closing: str) -> None:
    text = f"{opening}5{closing}6"
    assert without_reasoning(text, [tag]).strip() == "6"
    assert judge("exact", f"{opening}6{closing}5", tags=(tag,))[0][0] == 1.0
    assert without_reasoning(text) == text


@pytest.mark.parametrize("tag", ["", "<scratch>", "a b c", "## ##", "a/b"])
def test_a_text_that_is_no_tag_is_refused_with_the_way_out(tag: str) -> None:
    with pytest.raises(ValueError, match="opening and the closing tag"):
        DataConfig(path="x", reasoning_tags=[tag])
    with pytest.raises(InputError, match="opening and the closing tag"):
        open_verifier("exact", reasoning_tags=[tag])


def test_a_users_function_gets_the_whole_completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def grade(data_source, solution_str, ground_truth, extra_info=None):\n    return float('<think>' in solution_str)\n"
    (tmp_path / "reasoning_grader.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert judge("reasoning_grader:grade", "<think>4</think>5")[0][0] == 1.0


def test_it_agrees_with_an_automaton_on_random_texts() -> None:
    draw = random.Random(0)
    for _ in range(3_000):
        words = [draw.choice(["<think>", "</think>", "a", "b", "c"]) for _ in range(draw.randrange(9))]
        kept: list[str] = []
        inside = False
        for word in words:
            if word == "</think>":
                kept = kept if inside else []
                inside = False
            elif word == "<think>":
                inside = True
            elif not inside:
                kept.append(word)
        assert without_reasoning(" ".join(words)).split() == ([] if inside else kept), words


def test_test_sets_subsets_and_rounds_keep_the_pools_tags(tmp_path: Path) -> None:
    run = make_run(tmp_path, data={"reasoning_tags": ["scratch"]})
    assert settings_of(run.config, "gsm8k")["data"]["reasoning_tags"] == ["scratch"]
    assert elsewhere(run.config.data, "subset.jsonl").reasoning_tags == ["scratch"]


def test_tags_change_the_settings_of_the_pool_only_if_named(tmp_path: Path) -> None:
    configs = [make_config(tmp_path, data={"reasoning_tags": tags}) for tags in ([], ["scratch"])]
    assert ["data.reasoning_tags" in stage_settings(config, "pool") for config in configs] == [False, True]
