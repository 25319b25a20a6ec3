"""Generated pairs: no wrong answer passes, and hardly any right one in another notation is refused."""

from collections import Counter

import pytest

from learnalign.verify import Item, Verdict, open_verifier
from tests.verify.fuzz import FAMILIES, FuzzPair, false_pairs, true_pairs

FALSE_PAIRS = false_pairs(70)
TRUE_PAIRS = true_pairs(30)


def _judge(pairs: list[FuzzPair]) -> list[Verdict]:
    with open_verifier("math", workers=2, timeout=60) as verifier:
        return verifier.score([Item(pair.completion, pair.gold) for pair in pairs])


def _listed(pairs: list[FuzzPair], verdicts: list[Verdict], right: float) -> list[str]:
    """The pairs judged otherwise than `right`."""
    return [
        f"{pair.family}: {pair.gold!r} / {pair.completion!r}: {verdict.reward} ({verdict.reason})"
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if verdict.reward != right
    ]


@pytest.fixture(scope="module")
def true_verdicts() -> list[Verdict]:
    return _judge(TRUE_PAIRS)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])  # of nine pairs, one; all
def test_no_other_value_is_accepted_and_none_is_unscorable(step: int) -> None:
    pairs = FALSE_PAIRS[::step]
    missed = _listed(pairs, _judge(pairs), 0.0)
    assert not missed, "\n".join(missed)


@pytest.mark.slow
def test_97_of_100_equal_values_in_another_notation_are_accepted(true_verdicts: list[Verdict]) -> None:
    refused = _listed(TRUE_PAIRS, true_verdicts, 1.0)
    assert len(refused) <= 0.03 * len(TRUE_PAIRS), "\n".join(refused)


@pytest.mark.slow
def test_no_gold_of_a_true_pair_is_unscorable(true_verdicts: list[Verdict]) -> None:
    unscorable = [pair for pair, verdict in zip(TRUE_PAIRS, true_verdicts, strict=True) if verdict.reward is None]
    assert unscorable == []


def test_there_are_pairs_of_every_family() -> None:
    names = {family.__name__ for family in FAMILIES}
    for pairs, count in ((FALSE_PAIRS, 2500), (TRUE_PAIRS, 1000)):
        assert len(set(pairs)) == len(pairs) >= count
        assert set(Counter(pair.family for pair in pairs)) == names
