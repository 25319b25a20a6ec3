"""Cells: what they share, what makes them others, and the order in which they run."""

from pathlib import Path
from typing import Any

import pytest

from learnalign.errors import InputError
from learnalign.papers.cells import cells_of, policies_kept
from learnalign.papers.pipeline import needs
from learnalign.papers.results import Results
from learnalign.papers.table import Table

PANEL: dict[str, Any] = {"config": "papers/tiny", "rows": 48, "parameters": 750_000}


def test_arms_share_a_run_directory_unless_their_settings_before_training_differ() -> None:
    arms = {
        "a": {},
        "b": {"method": "random"},
        "lr": {"set": {"train.learning_rate": 0.1}},
        "dim": {"set": {"grad.dim": 64}},
    }
    made = {cell.name: cell for cell in cells_of(_table({**arms, "cold": {"set": {"warmup.size": 0}}}))}
    assert made["a"].pipeline == made["b"].pipeline == made["lr"].pipeline
    assert made["dim"].pipeline != made["a"].pipeline
    assert made["dim"].shared == made["a"].shared
    assert made["cold"].shared != made["a"].shared
    assert len({cell.fingerprint for cell in made.values()}) == 5


def test_everything_that_decides_a_result_decides_the_fingerprint() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"seeds": [1]},
        {"sizes": [6]},
        {"steps": 3},
        {"at": [0.5, 1.0]},
        {"tests": ["demo"]},
        {"evaluate": {"eval.num_generations": 3}},
        {"arms": {"a": {"diversity": "kmeans:2"}}},
        {"arms": {"a": {"method": "hardest"}}},
        {"panels": {"p": {**PANEL, "set": {"rollout.num_generations": 6}}}},
    ]
    prints = [cells_of(_table(**{"arms": {"a": {}}, **change}))[0].fingerprint for change in changes]
    assert len({*prints}) == len(changes)


def test_labels_and_facts_for_the_estimate_decide_nothing() -> None:
    (one,), (other,) = (
        cells_of(_table({"a": {}})),
        cells_of(_table({"a": {"label": "A"}}, panels={"q": {**PANEL, "rows": 9}})),
    )
    assert one.fingerprint == other.fingerprint


def test_runs_say_which_cells_there_are_and_every_arm_has_its_first_seed_first() -> None:
    runs = [{"arms": ["a", "b"], "seeds": 2}, {"arms": ["b"], "seeds": [1, 5]}]
    keys = [cell.key for cell in cells_of(_table({"a": {}, "b": {"method": "random"}}, runs=runs))]
    assert keys == ["p/a/12/0", "p/b/12/0", "p/a/12/1", "p/b/12/1", "p/b/12/5"]


def test_a_cell_needs_no_stage_that_its_choice_and_training_do_not_read() -> None:
    arms: dict[str, Any] = {
        "base": {"train": "none"},
        "pool": {"train": "pool"},
        "random": {"method": "random"},
        "hardest": {"method": "hardest"},
        "own": {},
        "length": {"method": "length"},
        "perplexity": {"method": "ppl-top"},
        "rated": {"method": "selectit", "set": {"data.solution": None}},
        "angles": {"train": "pool", "set": {"train.curriculum": "gain", "warmup.size": 0, "signal.policy": "base"}},
        "more": {"method": "random", "spend": "own"},
    }
    assert {cell.name: needs(cell) for cell in cells_of(_table(arms, steps=2))} == {
        "base": (),
        "pool": (),
        "random": (),
        "hardest": ("warmup", "rollout"),
        "own": ("warmup", "rollout", "grad"),
        "length": ("signal",),
        "perplexity": ("warmup", "signal"),
        "rated": ("warmup", "rollout", "signal"),
        "angles": ("signal",),
        "more": ("warmup", "rollout", "grad"),
    }


def test_kept_policies_are_as_few_as_the_shares_allow() -> None:
    assert [policies_kept(at) for at in ([1.0], [0.5, 1.0], [0.25, 0.5, 1.0], [1 / 3, 1.0], [0.2, 0.5])] == [
        1,
        2,
        4,
        3,
        10,
    ]


def test_results_of_other_settings_are_refused_with_every_way_out(tmp_path: Path) -> None:
    (before,), (now,) = cells_of(_table({"a": {}})), cells_of(_table({"a": {}}, steps=9))
    Results(tmp_path).add({"cell": before.key, "fingerprint": before.fingerprint, "accuracy": {}, "costs": {}})
    Results(tmp_path).check([before])
    with pytest.raises(InputError, match=r"p/a/12/0 .*other settings.*--dir"):
        Results(tmp_path).check([now])
    assert (Results(tmp_path).others([before]), Results(tmp_path).others([now])) == (0, 1)


def _table(arms: dict[str, Any], **more: Any) -> Table:
    return Table.model_validate(
        {"title": "t", "panels": {"p": PANEL}, "arms": arms, "sizes": [12], "tests": ["demo-code"], **more}
    )
