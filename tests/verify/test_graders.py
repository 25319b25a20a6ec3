"""`learnalign verify --with`: a trainer's own grader on the same rows."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from learnalign.verify import Item, open_verifier
from learnalign.verify.graders import verifier_name
from tests.verify.test_rows import run

GOLD = r"\frac{1}{2}"
VERL = """
def default_compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    if data_source == "lighteval/MATH":
        return {"score": -1.0, "acc": solution_str == ground_truth}
    raise NotImplementedError(data_source)
"""


def rewards(grader: str, *items: Item) -> list[float | None]:
    with open_verifier(verifier_name(grader), workers=1) as verifier:
        return [verdict.reward for verdict in verifier.score(items)]


@pytest.mark.parametrize("gold", [GOLD, f"${GOLD}$", f"\\boxed{{{GOLD}}}"])
def test_math_verify_reads_golds_with_and_without_dollars_and_box(gold: str) -> None:
    right, wrong = Item(r"So \boxed{0.5}.", gold), Item(r"So \boxed{0.25}.", gold)
    assert rewards("math-verify", right, wrong) == [1.0, 0.0]


def test_trl_judges_as_its_own_reward_function() -> None:
    from trl.rewards import accuracy_reward

    texts, golds = [r"\boxed{\frac{1}{2}}", r"\boxed{3}", "The answer is 5.", "x"], ["0.5", "5", "5", "no gold"]
    theirs = accuracy_reward([[{"role": "assistant", "content": text}] for text in texts], golds)
    assert rewards("trl", *map(Item, texts, golds)) == theirs
    assert set(theirs) == {1.0, 0.0, None}


def test_verl_gets_the_rows_data_source_else_that_of_math(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "verl" / "utils" / "reward_score"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(VERL, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    other = Item("5", "5", source={"data_source": "mine"})
    assert rewards("verl", Item("5", "5"), Item("6", "5"), other) == [1.0, 0.0, None]


def test_a_grader_that_is_not_installed_is_one_line_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "verl.py").write_text("raise ModuleNotFoundError(\"No module named 'verl'\")", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    result = run(written(tmp_path, ("5", "5")), "--with", "verl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install verl" in result.stderr.splitlines()[-1]


def test_an_unknown_grader_is_refused_with_the_names(tmp_path: Path) -> None:
    result = run(written(tmp_path, ("5", "5")), "--with", "verify")
    assert result.exit_code == 2
    assert "verl, trl, math-verify" in result.stderr


ROWS = [
    (r"\boxed{5}", "5"),
    (r"\boxed{60 minutes}", "1 hour"),
    (r"\boxed{6}", "5"),
    (r"\boxed{5}", ""),
]


def test_the_counts_of_a_comparison_add_up_to_the_rows(tmp_path: Path) -> None:
    result = run(written(tmp_path, *ROWS), "--with", "math-verify", "--with", "trl", "--json")
    summary = json.loads(result.stdout)
    for agreement in summary["agreements"]:
        counts = {key: value for key, value in agreement.items() if key != "grader"}
        assert sum(counts.values()) == len(ROWS)
        assert (counts["both_correct"], counts["both_wrong"], counts["unscorable"]) == (1, 1, 1)
    assert [agreement["grader"] for agreement in summary["agreements"]] == ["math-verify", "trl"]


@pytest.mark.slow
def test_rows_that_only_one_of_both_accepts_are_counted_and_shown(tmp_path: Path) -> None:
    result = run(written(tmp_path, *ROWS), "--with", "math-verify")
    assert "only ours" in result.stderr
    assert "1 hour" in result.stderr
    agreement = json.loads(run(written(tmp_path, *ROWS), "--with", "math-verify", "--json").stdout)["agreements"][0]
    assert (agreement["only_ours"], agreement["only_theirs"]) == (1, 0)


def written(folder: Path, *pairs: tuple[str, str]) -> Path:
    path = folder / "rows.jsonl"
    rows: list[dict[str, Any]] = [{"completion": completion, "answer": answer} for completion, answer in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
