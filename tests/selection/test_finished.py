"""A choice is made again unless it is as it would be made now."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnalign.rundir import RunDir
from learnalign.selection import is_chosen, options_of, select
from tests.selection.measured import measured_run, write_success


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = measured_run(tmp_path, [4] * 24)
    assert not is_chosen(made)
    select(made)
    assert is_chosen(made)
    return made


def changed(run: RunDir, **settings: object) -> RunDir:
    select_settings = run.config.select.model_copy(update=settings)
    return RunDir(run.path, run.config.model_copy(update={"select": select_settings}))


def test_another_size_method_or_format_is_not_chosen_yet(run: RunDir) -> None:
    assert not is_chosen(changed(run, size=4))
    assert not is_chosen(changed(run, method="random"))
    assert not is_chosen(changed(run, format="another"))


def test_other_success_rates_or_a_damaged_subset_are_not_passed_over(run: RunDir) -> None:
    subset = run.subset_file("learnalign")
    content = subset.read_bytes()
    subset.write_bytes(content[:-2] + b" \n")  # of the same size
    assert not is_chosen(RunDir(run.path, run.config))
    subset.write_bytes(content)
    write_success(run, [3] * 24)
    assert not is_chosen(run)


def test_options_of_the_command_are_told_from_the_settings_and_kept_if_asked(run: RunDir) -> None:
    assert options_of(run) == ""
    select(run, 2, format="trl", fill=True)
    assert options_of(run) == "-n 2 --format trl --fill"
    assert not is_chosen(run)
    assert is_chosen(run, by_options=True)
    assert not is_chosen(changed(run, size=4), by_options=True)
    write_success(run, [3] * 24)
    assert not is_chosen(run, by_options=True)


def test_a_later_setting_is_no_option(run: RunDir) -> None:
    assert options_of(changed(run, size=4)) == ""
    select(changed(run, size=4))
    assert is_chosen(changed(run, size=4))
