"""Answer pairs by family with the reward that is right: those that graders got wrong in the field, and pairs by hand.

The pairs by hand were written to attack the verifiers, as answers to the golds of well-known data sets.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from learnalign.verify import Item, Verdict, open_verifier

PAIRS: list[dict[str, Any]] = [
    json.loads(line)
    for name in ("field_pairs.jsonl", "hand_pairs.jsonl")
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
]
FAMILIES = list(dict.fromkeys(pair["family"] for pair in PAIRS))


@pytest.fixture(scope="module")
def wrong() -> dict[str, list[tuple[Any, ...]]]:
    """The pairs of each family that are judged wrongly."""
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for name in dict.fromkeys(pair["verifier"] for pair in PAIRS):
        pairs = [pair for pair in PAIRS if pair["verifier"] == name]
        with open_verifier(name, workers=2, timeout=60) as verifier:
            verdicts: list[Verdict] = verifier.score([Item(pair["completion"], pair["answer"]) for pair in pairs])
        for pair, verdict in zip(pairs, verdicts, strict=True):
            if verdict.reward != pair["reward"]:
                found[pair["family"]].append((pair["answer"], pair["completion"], pair["reward"], verdict))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_pair_of_the_family_is_judged_rightly(family: str, wrong: dict[str, list[tuple[Any, ...]]]) -> None:
    assert wrong[family] == []
