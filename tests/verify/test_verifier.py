"""Gold answers are checked before anything is scored; a completion without an answer is wrong, not unscorable."""

from pathlib import Path

import pytest

from learnalign.verify import Item, open_verifier
from learnalign.verify.builtin import BUILT_IN

MATHEMATICAL = ["math", "boxed", "answer_tag"]


@pytest.mark.parametrize("name", MATHEMATICAL)
def test_golds_in_every_notation_are_usable(name: str) -> None:
    golds = ["12", "1,234", r"\frac{1}{2}", r"$\frac{1}{2}$", r"\boxed{7}", "(1, 2]", "x = 3", "Tuesday", "B", "#### 5"]
    with open_verifier(name, workers=1) as verifier:
        assert verifier.check_golds(golds) == [None] * len(golds)


@pytest.mark.parametrize("name", MATHEMATICAL)
def test_unusable_golds_have_a_reason_each(name: str) -> None:
    golds = ["", "  ", r"\frac{1}{", r"\boxed{5", "nan", "N/A", "???", r"\frac{1}{0}", "7" * 5_000]
    with open_verifier(name, workers=1) as verifier:
        reasons = verifier.check_golds(golds)
    assert all(reason and "gold answer" in reason for reason in reasons)


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_an_unusable_gold_is_unscorable_not_wrong(name: str) -> None:
    texts = ["", r"\boxed{5}", "<answer>5</answer>", "#### 5", "5"]
    with open_verifier(name, workers=1) as verifier:
        assert {verdict.reward for verdict in verifier.score([Item(text, "") for text in texts])} == {None}


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_no_answer_is_wrong(name: str) -> None:
    with open_verifier(name, workers=1) as verifier:
        [verdict] = verifier.score([Item("", "5")])
    assert (verdict.reward, verdict.reason) == (0.0, "no answer")


def test_code_is_not_executed(tmp_path: Path) -> None:
    code = f"__import__('pathlib').Path({str(tmp_path)!r}, 'made').touch()"
    texts = [rf"\boxed{{{code}}}", f"The answer is {code}", f"<answer>{code}</answer>", f"#### {code}", code]
    texts += [f"[ANSWER]{text}[/ANSWER]" for text in (code, f"assert {code}", f"assert {code} == 5")]
    for name in BUILT_IN:
        with open_verifier(name, workers=1) as verifier:
            verifier.score([Item(text, "5") for text in texts])
    assert list(tmp_path.iterdir()) == []
