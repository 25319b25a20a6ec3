"""`export` and `select --format`: the chosen prompts, their description beside them, and the run's own subset untouched."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from learnalign.checks import check
from learnalign.errors import InputError, RunError
from learnalign.handoff import export
from learnalign.prompts import Prompt, elsewhere, read_pool
from learnalign.rundir import RunDir
from learnalign.rundir.checking import find_problems
from learnalign.selection import select
from learnalign.training import train
from learnalign_cli.app import app
from tests.selection.measured import measured_run
from tests.selection.test_select import score_rows


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = measured_run(tmp_path_factory.mktemp("export"), data={"system_prompt": "Be brief."})
    select(run, 7)
    select(run, 5, "learnability")
    return run.path


@pytest.fixture
def run(chosen: Path, tmp_path: Path) -> RunDir:
    shutil.copytree(chosen, tmp_path / "run")
    return RunDir.open(tmp_path / "run")


def test_an_export_holds_the_subsets_prompts_in_its_order_beside_it(run: RunDir) -> None:
    before = run.subset_file("learnalign").read_bytes()
    result = export(run, "verl")
    assert result.file == run.path / "export" / "verl.parquet"
    rows = pq.read_table(result.file).to_pylist()
    assert [row["extra_info"]["id"] for row in rows] == ids(run.subset_file("learnalign"))
    assert rows[0]["prompt"][0] == {"role": "system", "content": "Be brief."}
    other = export(run, "slime", method="learnability")
    assert other.file == run.path / "export" / "slime-learnability.jsonl"
    assert [json.loads(line)["metadata"]["id"] for line in other.file.read_text().splitlines()] == ids(
        run.subset_file("learnability")
    )
    assert run.subset_file("learnalign").read_bytes() == before


def test_selecting_other_prompts_names_the_exports_of_the_earlier_ones(run: RunDir) -> None:
    file = export(run, "slime").file
    assert not any("earlier subset" in note for note in select(run, 7, format="source").notes)
    assert [note for note in select(run, 3).notes if "earlier subset" in note] == [
        f"{file} is of the earlier subset; `learnalign export {run.path} --to slime` makes it again"
    ]


def test_exports_of_earlier_prompts_are_named_in_one_line_with_what_makes_them_again(run: RunDir) -> None:
    files = [export(run, name, method="learnability").file for name in ("slime", "roll", "trl")]
    (note,) = [note for note in select(run, 3, "learnability").notes if "earlier subset" in note]
    assert note == (
        f"{', '.join(map(str, files))} are of the earlier subset; `learnalign export {run.path} --method learnability "
        "--to NAME` makes each again (NAME: slime, roll, trl)"
    )


def test_every_subset_says_what_it_was_chosen_by(run: RunDir, tmp_path: Path) -> None:
    select(run, 4, "hardest", output=tmp_path / "mine.jsonl")
    export(run, "nemo-gym", output=tmp_path / "gym.jsonl")
    made = {
        "subset.json": ("subset.jsonl", "learnalign", 7),
        "subset-hardest.json": ("subset-hardest.jsonl", "hardest", 4),
        "../mine.json": ("../mine.jsonl", "hardest", 4),
        "../gym.json": ("../gym.jsonl", "learnalign", 7),
    }
    for name, (file, method, count) in made.items():
        about = json.loads((run.path / name).read_text())
        content = (run.path / file).read_bytes()
        assert about["subset"]["prompts"] == len(content.splitlines()) == count
        assert about["subset"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert (about["method"]["name"], about["method"]["size"]) == (method, count)
        assert about["model"]["name"] == run.config.model.name
        assert about["policy"]["name"] == "base"
        assert (about["rates"]["verifier"], about["rates"]["num_generations"]) == ("exact", 4)
        assert about["seeds"] == {"seed": 0, "warmup": None, "select": None}
        assert about["pool"] == {"rows": 24, "prompts": 24, "left_out": 0}
        assert {"data", "model"} <= about["inputs"].keys()
        assert "torch" in about["versions"]
        assert about["settings"]["data"]["system_prompt"] == "Be brief."


def test_the_same_selection_gives_the_same_bytes(run: RunDir) -> None:
    files = [run.subset_file("learnalign"), run.path / "subset.json"]
    before = [file.read_bytes() for file in files]
    select(run, 7)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("name", ["mine.parquet", "mine.jsonl", "link.jsonl"])
def test_the_ending_of_an_output_decides_its_kind(run: RunDir, tmp_path: Path, name: str) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "target.jsonl")
    select(run, 7, format="skyrl", output=tmp_path / name)
    path = tmp_path / name
    rows = (
        pq.read_table(path).to_pylist()
        if path.suffix == ".parquet"
        else [json.loads(line) for line in path.read_text().splitlines()]
    )
    assert rows == [json.loads(line) for line in run.subset_file("learnalign").read_text().splitlines()]
    assert (tmp_path / ("target.json" if "link" in name else "mine.json")).is_file()


def test_a_file_that_is_no_description_is_not_replaced(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"my": "notes"}')
    with pytest.raises(InputError, match=r"mine\.json.*is another file"):
        select(run, 3, output=tmp_path / "mine.jsonl")
    with pytest.raises(InputError, match=r"run\.json is the run directory's own"):
        export(run, "trl", output=run.path / "run.jsonl")
    assert (tmp_path / "mine.json").read_text() == '{"my": "notes"}'
    export(run, "trl", output=tmp_path / "mine.json.jsonl")
    export(run, "trl", output=tmp_path / "new.json")
    assert (tmp_path / "new.subset.json").is_file()


def test_an_output_replaces_what_was_written_there_and_no_file_of_the_users_own(run: RunDir, tmp_path: Path) -> None:
    mine, link = tmp_path / "mine.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(mine)
    mine.touch()
    select(run, 3, output=mine)
    export(run, "trl", output=link)
    mine.write_text(mine.read_text() + "\n")
    for path in (mine, link):
        for write in (lambda path: select(run, 3, output=path), lambda path: export(run, "trl", output=path)):
            with pytest.raises(InputError, match="learnalign did not write, or that was changed since"):
                write(path)
    (tmp_path / "notes.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.jsonl: a file is there"):
        export(run, "trl", output=tmp_path / "notes.jsonl")
    assert (tmp_path / "notes.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--to", "ver"], 2, "format ver: unknown (did you mean verl?); known are messages, "),
        (["--to", "verl", "--method", "random"], 1, "has no subset by method random: run `learnalign select "),
        (["--to", "verl", "--method", "randon"], 2, "method randon: unknown (did you mean random?)"),
        (
            ["--to", "nemo-gym", "-o", "x.parquet"],
            2,
            "-o x.parquet: the format nemo-gym is JSON lines; name the file .jsonl",
        ),
        (["--to", "verl", "--data-source", ""], 2, "--data-source: it is empty"),
        (["--to", "verl", "-o", "-", "--json"], 2, "--json prints its result"),
    ],
)
def test_a_wrong_export_is_refused_in_one_line(run: RunDir, arguments: list[str], error: int, words: str) -> None:
    result = CliRunner().invoke(app, ["export", str(run.path), *arguments])
    assert (result.exit_code, len(result.output.splitlines())) == (error, 1), result.output
    assert words in result.output


def test_scores_that_are_missing_are_named_with_what_makes_them(run: RunDir) -> None:
    run.scores_file("learnability").unlink()
    with pytest.raises(
        RunError, match=r"learnability\.parquet is missing; `learnalign select .*run --method learnability` makes it"
    ):
        export(run, "trl", method="learnability")


def test_input_rows_that_lack_what_was_scored_are_told(run: RunDir) -> None:
    words = "without data.system_prompt, with which they were scored"
    assert any(words in note for note in select(run, 3, format="source").notes)
    assert not any(words in note for note in select(run, 3).notes)


def test_training_on_another_trainers_file_is_refused(run: RunDir, tmp_path: Path) -> None:
    """Read with the pool's settings, its prompts would get system prompt and template a second time."""
    file = export(run, "slime").file
    with pytest.raises(InputError, match=r"slime\.jsonl: a subset in the format slime.*--to messages"):
        train(run, file)
    export(run, "trl", output=tmp_path / "mine.jsonl")
    prompts, left_out, _ = read_pool(elsewhere(run.config.data, tmp_path / "mine.jsonl"))
    assert ([prompt.id for prompt in prompts], left_out) == (ids(tmp_path / "mine.jsonl"), [])
    assert [prompt.messages[0]["content"] for prompt in prompts] == ["Be brief."] * 7


def test_a_format_that_does_not_fit_the_pool_shows_before_the_run(run: RunDir) -> None:
    prompt = Prompt(
        "a", 0, [{"role": role, "content": "Hi"} for role in ("user", "assistant", "user")], "2", None, "{}"
    )
    config = run.config.model_copy(update={"select": run.config.select.model_copy(update={"format": "nemo-rl"})})
    with pytest.raises(InputError, match=r"select\.format: prompt 'a' has 3 messages.*nemo-gym"):
        check(config, ["select"], [prompt] * 5)


def test_what_a_trainer_needs_beside_the_file_stands_beside_exports(run: RunDir, tmp_path: Path) -> None:
    notes = select(run, 7, format="nemo-rl", output=tmp_path / "mine.jsonl").notes
    assert any(f"`learnalign export {run.path} --to nemo-rl` also writes" in note for note in notes)
    exported = export(run, "nemo-rl")
    assert exported.file.with_name("nemo_rl_system.txt").read_text() == "Be brief."
    assert any(f"written beside it: {run.path / 'export' / 'nemo_rl_system.txt'}" in note for note in exported.notes)
    assert (tmp_path / "mine_system.txt").read_text() == "Be brief."
    assert not list(run.path.glob("subset_*"))


def test_a_file_of_the_users_own_is_not_replaced_by_what_stands_beside(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "mine_system.txt").write_text("my own")
    with pytest.raises(InputError, match=r"mine_system\.txt is there with other content"):
        export(run, "nemo-rl", output=tmp_path / "mine.jsonl")
    assert (tmp_path / "mine_system.txt").read_text() == "my own"
    beside = export(run, "nemo-rl").file.with_name("nemo_rl_system.txt")
    beside.write_text("edited")
    with pytest.raises(InputError, match=r"nemo_rl_system\.txt is there with other content"):
        export(run, "nemo-rl")
    assert beside.read_text() == "edited"
    beside.unlink()
    export(run, "nemo-rl")


def test_a_pool_without_a_subset_is_refused(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    with pytest.raises(RunError, match="no subset by method learnalign: run `learnalign select"):
        export(run, "verl")


def test_damaged_exports_and_descriptions_are_found_and_made_again(run: RunDir) -> None:
    export(run, "verifiers", method="learnability")
    names = [
        f"export/verifiers{end}" for end in ("-learnability.jsonl", "-learnability.json", "_learnability_taskset.py")
    ]
    before = {name: (run.path / name).read_bytes() for name in names}
    for name in names:
        (run.path / name).write_bytes(before[name][:-3])
    assert sorted(problem.file for problem in find_problems(run.path)) == sorted(names)
    result = CliRunner().invoke(app, ["status", str(run.path), "--repair"])
    assert result.exit_code == 0, result.output
    assert {name: (run.path / name).read_bytes() for name in names} == before


def test_training_on_the_subset_asks_what_was_scored(run: RunDir) -> None:
    settings: dict[str, Any] = {
        "num_train_epochs": 1,
        "batch_size": 4,
        "num_generations": 4,
        "max_completion_length": 4,
    }
    config = run.config.model_copy(
        update={
            "train": run.config.train.model_copy(update={**settings, "steps": 1}),
            "verifier": "tests.training.coin_verifier:coin",
        }
    )
    run = RunDir.create(run.path.parent / "other", config)
    measured = RunDir.open(run.path.parent / "run")
    result = train(run, measured.subset_file("learnalign"))
    assert result.left_out == 0
    scored = {row["id"]: row["messages"] for row in pq.read_table(measured.prompts_file).to_pylist()}
    trained = pq.read_table(run.path / "train" / "subset" / "prompts.parquet").to_pylist()
    assert {row["id"]: row["messages"] for row in trained} == {
        id: scored[id] for id in ids(measured.subset_file("learnalign"))
    }
    assert {row["id"] for row in score_rows(measured) if row["selected"]} == {row["id"] for row in trained}
