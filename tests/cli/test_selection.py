"""`select`, `signal` and `compare` as a user meets them."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from learnalign_cli.app import app
from tests.selection.measured import measured_run


def learnalign(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_select_says_what_became_of_every_prompt(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0] * 5 + [8] * 4 + [4] * 15)
    result = learnalign("select", run.path, "-n", "0.25", "-o", tmp_path / "mine.jsonl")
    assert result.exit_code == 0
    assert "skipped: never solved" in result.stdout
    assert len((tmp_path / "mine.jsonl").read_text().splitlines()) == 6
    chosen = Counter(row["kind"] for row in map(json.loads, (tmp_path / "mine.jsonl").read_text().splitlines()))
    (line,) = [line.split() for line in result.stdout.splitlines() if line.split()[:2] == ["kind", "0"]]
    assert line[2:] == ["8", "(33", "%)", "5", str(chosen[0]), f"({100 * chosen[0] / 6:.0f}", "%)"]
    told = json.loads(learnalign("select", run.path, "-n", 6, "--method", "random", "--json").stdout)
    assert (told["select"]["chosen"], told["select"]["size"]) == (6, 6)


def test_select_refuses_in_one_line_with_exit_code_2(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    result = learnalign("select", run.path, "-n", 25)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "-n 0.1" in result.stderr
    assert learnalign("select", run.path, "--method", "best").exit_code == 2
    assert learnalign("signal", run.path, "angel").exit_code == 2


def test_what_overwrite_says_names_the_directory_itself(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    result = learnalign("select", run.path, "-n", 6, "--save-nystrom", 5, "--overwrite")
    assert "scores/nystrom.safetensors: S" in result.stdout
    lacking = learnalign("select", run.path, "-n", 6, "--diversity", "kmeans:3", "--overwrite")
    assert f"{run.signal_file('features')} is missing" in lacking.stderr
    assert ".next" not in result.output + lacking.output + run.record_file.read_text()


def test_signals_and_comparison_as_tables_and_json(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * 24)
    assert json.loads(learnalign("signal", run.path, "angle", "--json").stdout)["signals"][0]["values"] == 24
    table = learnalign("compare", run.path, "-n", 4)
    assert table.exit_code == 0
    assert "not compared: limr" in table.stdout
    assert "not compared: ppl-top, ppl-middle, ppl-median: " in table.stdout  # one reason, one line
    assert "overlap, % (Jaccard: prompts that both chose, of those that either did)\n" in table.stdout
    told = json.loads(learnalign("compare", run.path, "-n", 4, "--json").stdout)
    assert told["jaccard"]["learnalign"]["learnalign"] == 1.0
    assert told["subsets"]["gain"]["prompts"] == 4


def test_a_size_that_is_none_is_told_in_one_way(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    words = "but it should be an integer of 1 or more, or a number above 0 and below 1"
    for arguments in (["-n", "abc"], ["-n", "0"], ["-n", "1.5"], ["--set", "select.size=abc"]):
        result = learnalign("select", run.path, *arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert words in result.stderr
        assert "select.size: got" in result.stderr or f"-n: got '{arguments[1]}'" in result.stderr
    assert (
        "that may be one prompt or the whole pool" in learnalign("select", run.path, "--set", "select.size=1.0").stderr
    )
    for given in ("many", "0", "1.5", "1.0", "nan", "inf"):
        assert f"-n: got '{given}', {words}" in learnalign("compare", run.path, "-n", given).stderr


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["select", "--method", "ppl-top"], "signal {} perplexity"),
        (["show", "--always"], "rollout {}"),
        (["export", "--to", "trl"], "select {} --method learnalign"),
        (["status", "--check"], "status {} --repair"),
    ],
)
def test_a_command_in_a_message_can_be_pasted(tmp_path: Path, arguments: list[str], command: str) -> None:
    run = measured_run(tmp_path / "my runs", [0] * 12 + [4] * 12)
    if arguments[0] == "status":
        run.success_file.unlink()
    result = learnalign(arguments[0], run.path, *arguments[1:])
    assert f"learnalign {command.format(shlex.quote(str(run.path)))}" in result.output


def test_select_says_all_of_the_choice_that_it_made_not_of_the_run_s_own(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [0] * 12 + [4] * 12)
    assert learnalign("select", run.path, "-n", 5).exit_code == 0
    printed = " ".join(learnalign("select", run.path, "-n", 15, "--method", "coverage").output.split())
    assert "method coverage: only 12 prompts have a positive score, fewer than 15" in printed
    assert "method coverage: pool and chosen by columns" in printed
    assert "method learnalign: 5 prompts, best first" in printed
    assert "method learnalign: within the uncertainty" not in printed


def test_a_file_in_the_place_of_a_run_directory_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text("{}")
    made = learnalign("run", file, "--config", "demo")
    assert (made.exit_code, made.stderr.splitlines()) == (
        2,
        [f"learnalign: {file} is a file; give a directory for the run, which need not be there yet"],
    )
    assert "is not a run directory (it is a file)" in learnalign("status", file).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(["export", "--to", "trl"], ["show"], ["status"], ["status", "--check"], ["status", "--repair"], ["report"]),
        *(["compare"], ["select"], ["signal", "length"], ["grad"], ["run", "--dry-run"], ["train", "--subset", "x"]),
        *(["eval", "--data", "x"],),
    ],
)
def test_a_directory_that_is_none_is_told_with_what_makes_one(tmp_path: Path, arguments: list[str]) -> None:
    command, *options = arguments
    result = learnalign(command, tmp_path / "no such", *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.output
    assert "no such is not a run directory (there is nothing of that name)" in result.stderr
    assert f"`learnalign run '{tmp_path / 'no such'}' --config FILE`" in result.stderr
    assert not (tmp_path / "no such").exists()
