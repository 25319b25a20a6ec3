"""Thousands of generated pairs: no false one is accepted, nearly every true one is."""

import pytest

from learnalign.verify import Item, Verdict, open_verifier
from tests.verify.fuzz import Generated, generate

CASES = list(dict.fromkeys(generate(seed=11, rounds=26)))


@pytest.fixture(scope="module")
def judged() -> list[tuple[Generated, Verdict]]:
    with open_verifier("math", workers=2, timeout=60) as verifier:
        verdicts = verifier.score([Item(rf"So it is \boxed{{{case.answer}}}.", case.gold) for case in CASES])
    return list(zip(CASES, verdicts, strict=True))


def test_no_false_pair_is_accepted(judged: list[tuple[Generated, Verdict]]) -> None:
    false = [(case, verdict) for case, verdict in judged if not case.equal]
    assert len(false) >= 2_000
    assert [(case, verdict) for case, verdict in false if verdict.reward != 0.0] == []


def test_true_pairs_are_accepted(judged: list[tuple[Generated, Verdict]]) -> None:
    true = [(case, verdict) for case, verdict in judged if case.equal]
    rejected = [(case, verdict) for case, verdict in true if verdict.reward != 1.0]
    assert len(true) >= 1_000
    assert len(rejected) <= len(true) / 100, rejected


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("math", "We compute. The answer is {}."),
        ("math", "#### {}"),
        ("answer_tag", "<think>7</think><answer>{}</answer>"),
    ],
)
def test_no_false_pair_is_accepted_in_other_formats(name: str, form: str) -> None:
    false = [case for case in CASES[::4] if not case.equal]
    with open_verifier(name, workers=2, timeout=60) as verifier:
        verdicts = verifier.score([Item(form.format(case.answer), case.gold) for case in false])
    assert [pair for pair in zip(false, verdicts, strict=True) if pair[1].reward != 0.0] == []
