"""The ready tables: every table and figure has a file, whose configs, arms and tests exist and whose numbers are the papers'."""

import re
from pathlib import Path

import pytest

from learnalign.errors import InputError
from learnalign.evaluation.testset import test_sets as ready_tests
from learnalign.names import SCALES
from learnalign.papers.cells import cells_of
from learnalign.papers.loading import load_table, tables
from learnalign.papers.table import split_test
from learnalign.rundir.files import read_jsonl

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
EXPERIMENTS = [
    *(f"learnalign-table-{k}" for k in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14)),
    *(f"learnalign-figure-{k}" for k in ("3a", "3b", "4", "5")),
    *(f"gain-table-{k}" for k in (1, 2, 3, 4, 5)),
    *(f"gain-figure-{k}" for k in (7, 8, 9, 10)),
]
# Typed from the papers a second time: table, panel, arm, its numbers.
TYPED = [
    ("learnalign-table-1", "1.5b", "learnalign", [74.8, 76.4, 77.5, 78.3]),
    ("learnalign-table-1", "1.5b", "limr", [74.2, 76.2, 76.1, 76.7]),
    ("learnalign-table-2", "3b", "learnalign", [79.3, 60.2, 28.3, 23.3, 21.0, 42.4]),
    ("learnalign-table-2", "7b", "full", [89.8, 76.4, 47.0, 30.0, 51.1, 58.9]),
    ("learnalign-table-2", "7b", "learnalign", [88.3, 70.4, 35.4, 30.0, 44.0, 54.6]),
    ("learnalign-table-3", "1.5b", "learnalign", [77.5, 78.3]),
    ("learnalign-table-3", "3b", "features", [79.1, 57.6, 27.5]),
    ("learnalign-table-4", "3b", "learnalign", [8.9, 2.4, 3.74, 42.4]),
    ("learnalign-table-5", "3b", "s2000", [83.8, 67.8, 36.9]),
    ("learnalign-table-5", "7b", "s1000", [90.4, 76.7, 48.6]),
    ("learnalign-table-7", "1.5b", "learnalign", [[74.5, 0.3], [76.8, 0.5], [77.5, 0.4], [78.0, 0.3]]),
    ("learnalign-table-8", "3b", "learnalign", [[79.3, 0.6], [61.1, 1.1], [29.3, 1.4], [16.7, 3.2], [21.1, 0.9]]),
    ("learnalign-table-8", "7b", "length", [[78.7, 0.9], [62.1, 2.1], [25.8, 0.4], [23.3, 4.7], [34.4, 2.9]]),
    ("learnalign-table-9", "7b", "no-warmup", [[89.9, 0.1], [73.2, 0.2], [43.7, 0.3]]),
    ("learnalign-table-12", "3b", "k10", [80.3, 60.8, 27.4]),
    ("learnalign-table-13", "3b", "draw-3", [81.2, 60.4, 28.9]),
    ("learnalign-table-14", "3b", "pass-filter", [83.5, 64.6, 31.7]),
    ("learnalign-figure-4", "3b", "learnalign", [64.22, 1040, 440]),
    ("gain-table-1", "qwen-1.5b", "gain", [88.09, 67.20, 43.37, 13.33, 27.26, 16.54, 42.63, 80, 2.50]),
    ("gain-table-1", "llama-3b", "adarft", [78.01, 39.00, 18.07, 6.67, 12.89, 8.56, 27.2, 140, 1.43]),
    ("gain-table-2", "qwen-coder-3b", "gain", [12.8, 25.1, 6.14, 18.2, 81.5, 28.8, 110, 1.81]),
    ("gain-table-3", "math", "gain", [34.80, 100, 2.0]),
    ("gain-table-4", "math", "c4.0", [38.40]),
    ("gain-table-5", "gsm8k", "gain", [53.15, 60, 3.33]),
]
HOURS = {
    "ppl-top": (5, 34),
    "ifd": (6, 26),
    "length": (4, 44),
    "selectit": (6, 54),
    "limr": (43, 12),
    "learnalign": (8, 55),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_table_and_figure_has_a_file(name):
    table = load_table(name)
    paper, kind, number = name.split("-")
    assert re.search(rf"{'Table' if kind == 'table' else 'Fig.'} {number}\b", table.source)
    assert table.source.startswith({"learnalign": "LearnAlign", "gain": "GAIN-RL"}[paper])


def test_figure_1_is_said_to_be_in_table_2():
    assert "Fig. 1" in load_table("learnalign-table-2").source


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", tables())
def test_cells_load_at_every_scale(name, scale):
    table = load_table(name, scale)
    cells = cells_of(table)  # loads each panel's config with each arm's settings
    assert {cell.name for cell in cells} <= table.arms.keys()
    assert all(
        split_test(test)[0] in ready_tests() or test.startswith("demo-") for cell in cells for test in cell.tests
    )
    assert all(len(table.published_of(cell.panel, cell.name)) == len(table.columns(cell.panel)) for cell in cells)


@pytest.mark.parametrize("name", tables())
def test_every_arm_with_published_numbers_is_run(name):
    table = load_table(name)
    run = {(cell.panel, cell.name) for cell in cells_of(table)}
    assert {(panel, arm) for panel, rows in table.published.items() for arm in rows} <= run


@pytest.mark.parametrize(("name", "panel", "arm", "numbers"), TYPED)
def test_numbers_are_the_papers(name, panel, arm, numbers):
    assert load_table(name).published[panel][arm] == numbers


def test_hours_are_the_papers():
    rows = load_table("learnalign-table-11").published["3b"]
    assert all(rows[arm] == [pytest.approx(h + m / 60, abs=0.005)] for arm, (h, m) in HOURS.items())
    steps = load_table("learnalign-table-10").published["3b"]["learnalign"]
    assert steps == pytest.approx([2 + 2 / 60, 4 + 12 / 60, 2 + 41 / 60, 12.7 / 3600, 8 + 55 / 60], abs=5e-4)


@pytest.mark.parametrize("name", ["learnalign-table-2", "gain-table-1", "gain-table-2"])
def test_printed_averages_are_means_of_the_row_but_for_those_noted(name):
    table = load_table(name)
    wrong = []
    for panel, rows in table.published.items():
        tests = len(table.tests_of(panel))
        for arm, numbers in rows.items():
            values = [number for number in numbers if isinstance(number, float | int)]
            if abs(sum(values[:tests]) / tests - values[tests]) > 0.06:
                wrong.append((panel, arm))
    noted = {
        "learnalign-table-2": [("7b", "learnalign")],
        "gain-table-1": [("qwen-1.5b", "grpo"), ("qwen-7b", "gain")],
        "gain-table-2": [],
    }
    assert wrong == noted[name]
    assert bool(table.notes) == bool(wrong)


def test_below_full_scale_one_test_stands_in_with_the_mean_of_the_papers():
    table = load_table("learnalign-table-2", "tiny")
    assert [column[1] for column in table.columns("3b")] == ["accuracy", "average"]
    assert any("cannot agree with the paper's" in note for note in table.notes)
    assert table.published["3b"]["learnalign"] == [pytest.approx((79.3 + 60.2 + 28.3 + 23.3 + 21.0) / 5), 42.4]


def test_sizes_and_steps_keep_their_proportions_below_full_scale():
    small = load_table("learnalign-table-3", "small")
    assert small.sizes_of("1.5b") == [161, 321]  # 1,000 and 2,000 of 7,473, of 1,200
    assert small.sizes_of("3b") == [67]  # 1,000 of 17,917
    steps = load_table("learnalign-table-5", "small").arms
    assert [steps[name].steps for name in ("s250", "s500", "s2000", "full-3b")] == [40, 80, 320, 348]


def test_batches_are_multiples_of_the_configs():
    full = {cell.name: cell.config.train.batch_size for cell in cells_of(load_table("gain-figure-10"))}
    assert (full["gain"], full["gain-768"], full["gain-512"]) == (8192, 6144, 4096)


CHANGES = [
    ("arms: {one: {methd: random}}", "arms.one.methd"),
    ("arms: {one: {method: randum}}", "arms.one.method: .*random"),
    ("reference: two", "reference two"),
    ("published: {here: {two: [1.0]}}", "published.here two"),
    ("published: {here: {one: [1.0, 2.0]}}", "published.here.one: 2 numbers for 1 column"),
    ("published: {here: {one: [much]}}", "published.here.one.0"),
    ("published: {here: {one: [1.0]}}\nmeasures: [accuracy, training-hours]", "published.here.one: 1 number"),
    ("runs: [{sizes: [5]}]", "runs: size 5 is no column of panel here, which has all"),
    ("statistics: {primary: one, against: one, size: 9}", "statistics.size: size 9"),
    ("statistics: {primary: one, against: one, size: all, panel: there}", "statistics.panel there"),
    ("arms: {one: {set: {seed: 3}}}", "arms.one.set: .*seed is not set here; give it by the key seeds"),
    ("arms: {one: {set: {train.steps: 3}}}", "arms.one.set: .*by the key steps"),
    ("arms: {one: {set: {select.size: 3}}}", "arms.one.set: .*select.size"),
    ("arms: {one: {train: pool, method: random}}", "arms.one: .*method: train: pool makes no use of it"),
    ("arms: {one: {spend: two}, two: {set: {grad.dim: 64}}}", "arms.one.spend: two has other settings"),
    ("arms: {one: {train: none, steps: 3}}", "arms.one: .*steps"),
    ("arms: {one: {rounds: [0.5], spend: one}}", "arms.one: .*spend: an arm with rounds"),
    ("tests: []", "tests: give at least one"),
    ("tests: gsm8k", "tests: got 'gsm8k', but it should be a list$"),
    ("sizes: 5", "sizes: got 5, but it should be a list$"),
    ("arms: {one: random}", "arms.one: got 'random', but it should be a section of keys$"),
    ("steps: many", "steps: got 'many', but it should be an integer$"),
    ("steps: 0", "steps: got 0, but it should be greater than 0$"),
    ("at: 0", "at"),
    ("tests: [gsm9k]", r"tests: gsm9k: unknown \(did you mean gsm8k\?\)"),
    ("sizes: [4, 0.5, 4]", "sizes: 4 is given twice"),
    ("seeds: [1, 1]", "seeds: 1 is given twice"),
    ("statistics: {primary: one, against: one, size: all}", "statistics: one is given twice"),
]


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_a_wrong_key_arm_or_number_is_named(tmp_path: Path, change, named):
    settings = {
        "title": "title: mine",
        "panels": "panels: {here: {config: papers/tiny, rows: 48, parameters: 750000}}",
        "arms": "arms: {one: {method: random}}",
        "tests": "tests: [gsm8k]",
    }
    settings[change.partition(":")[0]] = change
    file = tmp_path / "mine.yaml"
    file.write_text("\n".join(settings.values()))
    with pytest.raises(InputError, match=rf"mine.yaml: .*{named}"):
        load_table(str(file))


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("experiment", "selection"),
        ("experiment-settings", "selection-settings"),
        ("experiment-coverage", "selection-coverage"),
    ],
)
def test_the_stored_results_of_the_experiment_are_those_of_the_table_as_it_is(directory: str, name: str) -> None:
    """A change of the table or of a default that they depend on must not leave them standing for something else."""
    cells = cells_of(load_table(name, "small"))
    stored = read_jsonl(RESULTS / directory / "results.jsonl")
    prints = {cell.key: cell.fingerprint for cell in cells}
    assert stored
    assert [line["cell"] for line in stored if prints.get(line["cell"]) != line["fingerprint"]] == []


def test_sizes_of_runs_and_statistics_keep_their_proportions_too(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("""
title: mine
panels: {one: {config: gsm8k, rows: 4800, parameters: 1}, two: {config: gsm8k, rows: 480, parameters: 1, sizes: [400, 40]}}
arms: {a: {}, b: {method: random}}
sizes: [400, 40, 1000]
tests: [gsm8k]
runs: [{sizes: [40, 400], seeds: 2}, {arms: [a]}]
statistics: {primary: a, against: b, size: 1000}
""")
    table = load_table(str(file), "tiny")
    asked = [(cell.panel, cell.size) for cell in cells_of(table) if (cell.name, cell.seed) == ("b", 1)]
    assert asked == [("one", 2), ("one", 4), ("two", 4), ("two", 40)]
    assert table.statistics
    assert table.statistics.size == 10


def test_a_config_beside_the_table_is_taken_wherever_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, elsewhere = tmp_path / "tables", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "own.yaml").write_text("base: papers/tiny\ndata: {limit: 7}\n")
    (folder / "mine.yaml").write_text(
        "title: mine\npanels: {here: {config: own.yaml, rows: 7, parameters: 1}}\narms: {a: {}}\ntests: [gsm8k]\n"
    )
    for place, name in ((elsewhere, "../tables/mine.yaml"), (folder, "mine.yaml")):
        monkeypatch.chdir(place)
        (cell,) = cells_of(load_table(name))
        assert cell.config.data.limit == 7
