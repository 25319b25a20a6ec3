"""success.parquet: it is read as it was written, and refused if it is missing or stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnalign.errors import InputError, RunError
from learnalign.rollouts.success import distribution, load_success, success_of, write_success
from learnalign.rundir import RunDir
from tests.tiny import make_run


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = [success_of("b", 8, 8, 3), success_of("a", 8, 0, 0), success_of("c", 0, 0, 0)]
    write_success(run, rows)
    assert list(load_success(run).items()) == [(row.id, row) for row in rows]
    assert load_success(run)["a"].success_rate is None


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(RunError, match=f"does not exist; run `learnalign rollout {run.path}` first"):
        load_success(run)


def test_rates_of_other_settings_are_refused_unless_unchecked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_success(run, [success_of("a", 8, 8, 3)])
    changed = run.config.model_copy(update={"rollout": run.config.rollout.model_copy(update={"temperature": 0.5})})
    other = RunDir(run.path, changed)
    with pytest.raises(InputError, match=r"success.parquet was made with other settings.*--overwrite"):
        load_success(other)
    assert load_success(other, check=False)["a"].correct == 3


def test_the_distribution_of_p_counts_every_prompt_once() -> None:
    rows = [success_of(str(i), 8, 8, i) for i in range(9)] + [success_of("none", 8, 0, 0)]
    assert distribution(rows) == {
        "0": 1,
        "(0, 1/4]": 2,
        "(1/4, 1/2]": 2,
        "(1/2, 3/4]": 2,
        "(3/4, 1)": 1,
        "1": 1,
        "unscored": 1,
    }
