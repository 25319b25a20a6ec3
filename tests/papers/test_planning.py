"""Hours of a table before anything is run."""

import pytest

from learnalign.papers.cells import cells_of
from learnalign.papers.loading import load_table
from learnalign.papers.planning import hours_of

TABLE = """
title: mine
panels: {here: {config: papers/tiny, rows: 48, parameters: 750000}}
arms:
  learnalign: {}
  random: {method: random}
  more: {method: random, spend: learnalign}
sizes: [4]
tests: [demo-arithmetic-test]
steps: 1
"""


def test_an_arm_that_spends_is_trained_twice_and_for_as_long_as_a_selection_costs(tmp_path):
    (tmp_path / "mine.yaml").write_text(TABLE)
    table = load_table(str(tmp_path / "mine.yaml"))
    cells = {cell.name: cell for cell in cells_of(table)}
    usual, spending = ({hours.stage: hours for hours in hours_of(table, [cells[name]])} for name in ("random", "more"))
    assert (usual["train"].times, spending["train"].times) == (1, 2)
    spent = sum(spending[stage].high for stage in ("warmup", "rollout", "grad"))
    assert spending["train"].high == pytest.approx(2 * usual["train"].high + spent)
    assert spending["eval"] == usual["eval"]
