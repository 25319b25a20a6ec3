"""Completions that make computer algebra hang or eat memory: the workers survive, all others are scored right."""

import pytest

from learnalign.verify import Item, open_verifier
from tests.verify.hostile import HOSTILE

HONEST = [
    (Item(r"So \boxed{12}.", "12"), 1.0),
    (Item(r"So \boxed{\frac{24}{2}}.", "12"), 1.0),
    (Item(r"So \boxed{2\sqrt{36}}.", "12"), 1.0),
    (Item(r"So \boxed{2\sqrt{35}}.", "12"), 0.0),
    (Item("The answer is 12.", "12"), 1.0),
    (Item("The answer is x.", "12"), 0.0),
]

FORMS = ["{}", "<answer>{}</answer>", "#### {}", "[ANSWER]{}[/ANSWER]"]


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])  # of four, one; all
def test_hostile_completions_never_pass_and_never_stop_the_others(step: int) -> None:
    items, tried = [], list(HOSTILE.values())[::step]
    for hostile in tried:
        items += [Item(hostile, "12"), *(item for item, _ in HONEST)]
    with open_verifier("math", workers=2, timeout=2.0) as verifier:
        verdicts = verifier.score(items)
        again = verifier.score([item for item, _ in HONEST])
    expected = [reward for _, reward in HONEST]
    size = 1 + len(HONEST)
    assert all(verdict.reward in (0.0, None) for verdict in verdicts[::size])
    assert [verdict.reward for i, verdict in enumerate(verdicts) if i % size] == expected * len(tried)
    assert [verdict.reward for verdict in again] == expected
    assert any("out of time" in verdict.reason for verdict in verdicts)


@pytest.mark.parametrize("name", ["answer_tag", "gsm8k", "exact", "literal"])
def test_hostile_text_is_judged_by_every_verifier(name: str) -> None:
    harmless = [text for kind, text in HOSTILE.items() if kind.startswith(("many", "million", "un", "very", "clos"))]
    items = [Item(form.format(text), "12") for text in harmless for form in FORMS]
    with open_verifier(name, workers=1, timeout=5.0) as verifier:
        verdicts = verifier.score(items)
    assert {verdict.reward for verdict in verdicts} == {0.0}


def test_a_hostile_gold_is_unusable_before_any_sampling() -> None:
    golds = [
        r"\sum_{k=1}^{10^{9}} \frac{1}{k^{3}+1}",
        "12",
        r"\frac{1}{2}",
        r"\prod_{k=1}^{100000000} (1+\frac{1}{k^2})",
    ]
    with open_verifier("math", workers=2, timeout=1.0) as verifier:
        reasons = verifier.check_golds(golds)
        verdicts = verifier.score([Item(r"\boxed{12}", gold) for gold in golds])
    assert [reason is None for reason in reasons] == [False, True, True, False]
    assert [verdict.reward for verdict in verdicts] == [None, 1.0, 0.0, None]
