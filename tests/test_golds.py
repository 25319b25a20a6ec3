"""Golds that are whole solutions are refused before sampling, those that a verifier reads are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnalign.config import build_config
from learnalign.errors import InputError
from learnalign.golds import refuse_solutions
from learnalign.plan import plan
from learnalign.prompts import Prompt, stored_prompts
from learnalign.rollouts import rollout
from learnalign.rounds import plan_rounds
from learnalign.rundir import RunDir
from tests.tiny import make_config

GSM8K = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether.\n#### 72"
)
PROSE = (
    "First add the seven apples to the eight pears, which gives fifteen fruits, and then halve them for both children"
)
BOXED = PROSE + r", so the answer is $\boxed{7.5}$."


@pytest.mark.slow
def test_a_dry_run_tells_them_unless_anyway(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps({"q": f"What is {i}?", "a": GSM8K}) + "\n" for i in range(8)))
    config = build_config({"model": {"name": "demo"}, "data": {"path": str(pool), "prompt": "q", "answer": "a"}})
    with pytest.raises(InputError, match="8 of 8 golds in column 'a' are whole solutions"):
        plan(config, ["rollout"], anyway=False)
    with pytest.raises(InputError, match="8 of 8 golds in column 'a' are whole solutions"):
        plan_rounds(config, [0.5, 0.5], anyway=False)
    assert plan(config, ["rollout"]).prompts == 8


def refuse(verifier: str, *golds: str) -> None:
    config = build_config(
        {"model": {"name": "demo"}, "data": {"path": "demo"}, "verifier": verifier, "verifier_sandbox": "local"}
    )
    refuse_solutions(config, [Prompt(str(i), i, [], gold, None, "{}") for i, gold in enumerate(golds)])


@pytest.mark.parametrize("verifier", ["math", "boxed", "answer_tag", "exact", "literal"])
def test_solutions_with_hashes_are_refused_with_the_share_an_example_and_what_to_set(verifier: str) -> None:
    with pytest.raises(InputError) as error:
        refuse(verifier, *[GSM8K] * 6, "72")
    words = ("6 of 7 golds", "'answer'", "Natalia sold 48/2", "verifier: gsm8k", "data.answer_regex", "--anyway")
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(("verifier", "gold"), [("math", PROSE), ("exact", PROSE), ("exact", BOXED)])
def test_solutions_without_hashes_are_refused_too(verifier: str, gold: str) -> None:
    with pytest.raises(InputError, match="whole solutions"):
        refuse(verifier, *[gold] * 8)


@pytest.mark.parametrize(
    ("verifier", "gold"),
    [
        ("gsm8k", GSM8K),
        ("math", BOXED),
        ("math", "#### 72"),
        ("math", r"\left(\frac{\sqrt{3}}{\text{twelve}}, \arctan\sqrt\alpha, \operatorname{lcm}(\beta)\right)" * 3),
        ("exact", "the quick brown fox"),
        ("literal", repr(PROSE)),
        ("my.module:function", GSM8K),
    ],
)
def test_what_the_verifier_reads_is_not_refused(verifier: str, gold: str) -> None:
    refuse(verifier, *[gold] * 20)


def test_few_solutions_among_answers_are_not_refused() -> None:
    refuse("math", *[GSM8K] * 4)
    refuse("math", *[GSM8K] * 9, *["72"] * 10)


def test_tests_of_programs_are_no_solutions() -> None:
    test = f"def check(candidate):\n    # {PROSE}\n    assert candidate('#### 7') == 7\n"
    refuse("code", *[json.dumps({"entry_point": "f", "test": test})] * 8)


def test_the_corrected_setting_goes_through_until_a_later_stage_has_results(tmp_path: Path) -> None:
    pool = tmp_path / "mine.jsonl"
    pool.write_text("".join(json.dumps({"q": f"What is {i}?", "a": GSM8K, "b": str(i)}) + "\n" for i in range(8)))

    def corrected(**data: str) -> RunDir:
        return RunDir.create(tmp_path / "run", make_config(tmp_path, data={"path": str(pool), "prompt": "q", **data}))

    with pytest.raises(InputError, match="8 of 8 golds in column 'a' are whole solutions"):
        rollout(corrected(answer="a"))
    with pytest.raises(InputError, match="no column 'c'"):
        rollout(corrected(answer="c"))
    assert RunDir.open(tmp_path / "run").config.data.answer == "a"
    run = corrected(answer="b")
    assert rollout(run).counts["prompts"] == 8
    assert [prompt.answer for prompt in stored_prompts(run)] == [str(i) for i in range(8)]
    with pytest.raises(InputError, match=r"data\.answer: stored 'b', requested 'a'.*--overwrite"):
        corrected(answer="a")
