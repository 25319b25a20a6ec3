"""Choices by several seeds stand side by side; what draws nothing has one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from learnalign.errors import InputError
from learnalign.handoff import export
from learnalign.names import DRAWN, METHODS
from learnalign.rundir import Label, RunDir, label_of
from learnalign.rundir.stages import stage_of
from learnalign.selection import compare, is_chosen, select
from learnalign.selection.methods import find_method
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring
from learnalign.summary import summarise
from tests.selection.measured import measured_run, write_signal
from tests.selection.test_select import subset_ids


def changed(run: RunDir, **settings: object) -> RunDir:
    """The run with other settings of `select`."""
    own = run.config.select.model_copy(update=settings)
    return RunDir(run.path, run.config.model_copy(update={"select": own}))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """All signals but a training's are there, and every prompt is learnable."""
    made = measured_run(tmp_path, [4] * 24)
    rng = np.random.default_rng(1)
    for name in ("perplexity", "ifd", "length", "selectit"):
        write_signal(made, name, {"value": rng.standard_normal(24)})
    write_signal(made, "angle", {"c_intra": rng.random(24), "c_inter": rng.random(24)})
    write_signal(made, "features", {"vector": list(rng.standard_normal((24, 4)).astype(np.float32))})
    return made


def test_the_methods_that_draw_are_those_whose_scores_change_with_the_seed(run: RunDir) -> None:
    pool = Pool(run)
    names = [name for name in METHODS if name != "limr"]
    scores = {name: [find_method(name).score(pool, Scoring(seed=s)).score.tolist() for s in (0, 1)] for name in names}
    assert [name for name, (one, other) in scores.items() if one != other] == list(DRAWN)


@pytest.mark.parametrize("label", ["random", "random-seed0", "gain-high-seed12", "learnalign-kmeans3-seed4", "ppl-top"])
def test_a_label_is_read_as_it_is_written(label: str) -> None:
    assert str(Label.parse(label)) == label


def test_seeds_of_a_method_have_files_of_their_own(run: RunDir) -> None:
    before = {seed: select(run, 6, "random", seed=seed) for seed in (None, 3, 4)}
    assert before[None].subset.name == "subset-random.jsonl"
    assert before[3].subset == run.path / "subset-random-seed3.jsonl"
    assert before[3].scores == run.path / "scores" / "random-seed3.parquet"
    choices = [frozenset(result.ids) for result in before.values()]
    assert len(set(choices)) == 3
    assert subset_ids(run, "random-seed3") == before[3].ids
    assert all(stage_of(path.relative_to(run.path).as_posix()) == "select" for path in run.outputs("select"))
    about = json.loads((run.path / "subset-random-seed3.json").read_text())
    assert about["seeds"] == {"seed": 0, "warmup": None, "select": 3}
    assert about["method"]["name"] == "random-seed3"


def test_a_seed_draws_as_a_run_of_that_seed(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = measured_run(tmp_path / "other", [4] * 24, seed=3)
    assert select(run, 6, "random", seed=3).ids == select(other, 6, "random").ids
    assert select(run, 6, "pass-filter", seed=3).ids == select(other, 6, "pass-filter").ids


def test_the_seed_of_the_run_is_no_seed_of_its_own(run: RunDir) -> None:
    assert select(run, 6, "random", seed=0).method == "random"
    assert select(changed(run, seed=3), 6, "random", seed=0).method == "random"


def test_the_setting_is_the_seed_of_what_draws_alone(run: RunDir) -> None:
    seeded = changed(run, seed=3)
    assert select(seeded, 6, "random").ids == select(run, 6, "random", seed=3).ids
    assert select(seeded, 6).method == "learnalign"
    assert select(seeded, 6, diversity="kmeans:3").method == "learnalign-kmeans3-seed3"


def test_a_seed_draws_the_clusters(run: RunDir) -> None:
    clusters = {seed: select(run, 6, diversity="kmeans:5", seed=seed).scores.read_bytes() for seed in (1, 2)}
    assert clusters[1] != clusters[2]


@pytest.mark.parametrize("seed", [-1, 1 << 32, True])
def test_a_number_that_is_no_seed_is_refused(run: RunDir, seed: int) -> None:
    with pytest.raises(InputError, match="--seed: got .*, but it should be an integer"):
        select(run, 6, "random", seed=seed)


def test_a_seed_that_changes_nothing_is_refused(run: RunDir) -> None:
    with pytest.raises(InputError, match="method learnalign draws nothing.*leave --seed out"):
        select(run, 6, seed=3)


def test_seeds_are_compared_summarised_and_exported(run: RunDir) -> None:
    for seed, method in itertools.product((None, 3), ("random", "gain-high")):
        select(run, 6, method, seed=seed)
    compared = compare(run)
    assert {"random", "random-seed3", "gain-high-seed3"} <= compared.subsets.keys()
    assert compared.jaccard["random"]["random-seed3"] < 1
    assert {"random", "random-seed3"} <= summarise(run)["selections"].keys()
    exported = export(run, "trl", method="random-seed3")
    assert exported.file == run.path / "export" / "trl-random-seed3.jsonl"


def test_compare_scores_a_seed_again_with_its_own(run: RunDir) -> None:
    ids = {seed: select(run, 6, "random", seed=seed).ids for seed in (None, 3)}
    for label in ("random", "random-seed3"):
        run.subset_file(label).unlink()
    compare(changed(run, seed=4), 6)
    assert subset_ids(run, "random") == ids[None]
    assert subset_ids(run, "random-seed3") == ids[3]


def test_the_choice_by_the_settings_is_that_of_their_seed(run: RunDir) -> None:
    seeded = changed(run, method="random", seed=3)
    select(changed(run, method="random"))
    assert not is_chosen(seeded)
    select(seeded)
    assert is_chosen(seeded)
    assert export(seeded, "trl").method == "random-seed3"


def test_a_message_names_the_seed_that_is_wanted(run: RunDir) -> None:
    select(run, 6, "random")
    with pytest.raises(Exception, match="--method random --diversity kmeans:3 --seed 5` first"):
        export(run, "trl", method="random-kmeans3-seed5")
    assert label_of(run.config, "random", 3, 5).typed() == "--method random --diversity kmeans:3 --seed 5"
