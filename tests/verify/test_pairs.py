"""The table of answer pairs: our verdict is right, and every difference from plain math-verify is explained."""

import logging
from collections import Counter

import pytest
from math_verify import parse, verify

from learnalign.verify import Item, Verdict, open_verifier
from tests.verify.pairs import PAIRS, Pair

VERIFIERS = ["math", "boxed", "answer_tag", "gsm8k", "exact"]


@pytest.fixture(scope="module")
def verdicts() -> dict[Pair, Verdict]:
    judged: dict[Pair, Verdict] = {}
    for name in VERIFIERS:
        pairs = [pair for pair in PAIRS if pair.verifier == name]
        with open_verifier(name, workers=2, timeout=60) as verifier:
            judged.update(zip(pairs, verifier.score([Item(p.completion, p.gold) for p in pairs]), strict=True))
    return judged


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.verifier}: {pair.gold[:30]} / {pair.completion[-40:]}")
def test_verdict_is_right(pair: Pair, verdicts: dict[Pair, Verdict]) -> None:
    assert verdicts[pair].reward == pair.reward, verdicts[pair].reason


def test_every_verdict_has_a_reason(verdicts: dict[Pair, Verdict]) -> None:
    assert all(verdict.reason for verdict in verdicts.values())


def test_every_difference_from_plain_math_verify_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("math_verify"), "disabled", True)
    differing = {
        pair
        for pair in PAIRS
        if pair.reward
        != float(
            verify(
                parse(pair.gold, parsing_timeout=None),
                parse(pair.completion, parsing_timeout=None),
                timeout_seconds=None,
            )
        )
    }
    assert [pair for pair in differing if not pair.why] == []
    assert [pair for pair in PAIRS if pair.why and pair not in differing] == []


def test_table_is_large_and_has_every_kind() -> None:
    counts = Counter(pair.verifier for pair in PAIRS)
    assert len(set(PAIRS)) == len(PAIRS) >= 200
    assert set(counts) == set(VERIFIERS)
    assert {pair.reward for pair in PAIRS} == {1.0, 0.0, None}
    assert sum(len(pair.completion) >= 10_000 for pair in PAIRS) >= 5
