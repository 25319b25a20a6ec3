"""The page and the printed table of a comparison: every arm by its own name, however many there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from learnalign.papers.cells import Cell, cells_of
from learnalign.papers.contrasts import contrasts
from learnalign.papers.measures import entries
from learnalign.papers.results import Results
from learnalign.papers.table import Table
from learnalign.report.paper_page import write_page
from learnalign_cli.paper_tables import show_table

PANEL = {"label": "a small pool", "config": "papers/tiny", "rows": 48, "parameters": 750_000}


def table(arms: dict[str, Any], **more: Any) -> Table:
    settings = {"title": "t", "panels": {"p": PANEL}, "arms": arms, "sizes": [12], "tests": ["demo-code"]}
    return Table.model_validate({**settings, "steps": 1, "at": 1, "seeds": 2, **more})


def record(cell: Cell, accuracy: float) -> dict[str, Any]:
    costs = {"train": {"seconds": 2.0, "cpu_seconds": 3.0 + cell.seed}}
    value = {"metric": "avg@4", "value": accuracy, "std": None, "columns": {}}
    training = {"steps": 1, "ended": "steps", "reward": [0.5, 0.6], "spread": 0.5, "unscored": 0}
    known = {
        "cell": cell.key,
        "fingerprint": cell.fingerprint,
        "panel": cell.panel,
        "arm": cell.name,
        "seed": cell.seed,
    }
    return {**known, "accuracy": {"demo-code": {"1": value}}, "training": training, "costs": costs}


def test_every_arm_has_a_name_and_a_place_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = {f"arm{k}": {"label": f"the arm {k}", "method": "random", "steps": 2 + k} for k in range(10)}
    shown = table(arms, statistics={"primary": "arm1", "against": "arm0", "size": 12})
    cells, results = cells_of(shown), Results(tmp_path)
    for k, cell in enumerate(cells):
        results.add(record(cell, 0.5 + k / 100))
    found = entries(shown, cells, results)
    compared = contrasts(shown, found)
    page = write_page(tmp_path / "page.html", shown, cells, results, found, compared).read_text(encoding="utf-8")
    show_table(shown, found, compared)
    printed = capsys.readouterr().out
    for k in range(10):
        assert f"{k + 1} the arm {k}, 12" in page  # in the legend of the compute plot
        assert f'">{k + 1}</text>' in page
        assert f"the arm {k}" in printed
    over_steps, over_compute = page.split("<figure")[1:3]
    for figure in (over_steps, over_compute):
        kinds = re.findall(r'<li><svg[^>]*><circle class="([^"]*)"', figure)
        assert len(kinds) == len(set(kinds)) == 10
        assert all(f'<circle class="{kind} picked"' in figure for kind in kinds)
    assert "the arm 1, 12 − the arm 0, 12 (primary)" in page
    assert "the arm 1 − the arm 0" in printed
    assert "<td>a small pool</td>" in page


def test_arms_and_panels_that_look_alike_are_refused() -> None:
    with pytest.raises(ValidationError, match="arms: two have the label random, and could not be told apart"):
        table({"random": {"method": "random"}, "more": {"label": "random", "method": "random", "steps": 2}})
    with pytest.raises(ValidationError, match="panels: two have the label a small pool"):
        table({"random": {"method": "random"}}, panels={"p": PANEL, "q": PANEL})
