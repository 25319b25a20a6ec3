"""The command line as a user meets it: fast help, a frozen interface, one-line errors with a way out."""

import importlib.metadata
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from learnalign.config import dump_config
from learnalign.names import FORMATS, METHODS
from learnalign_cli.app import COMMANDS, PANELS, app
from tests.tiny import make_config

RUN = ["DIR", "--config", "--set"]
RESULT = ["--overwrite", "--trust", "--dry-run", "--json", "--help"]
# The interface that users and scripts rely on: a change here is a change for them.
OPTIONS = {
    "run": [*RUN, "--anyway", "--stages", *RESULT],
    "warmup": [*RUN, "--anyway", *RESULT],
    "rollout": [*RUN, "--anyway", "--from", "--slice", *RESULT],
    "grad": [*RUN, "--anyway", "--slice", "--verify", *RESULT],
    "select": [
        *("DIR", "-n", "--method", "--format", "-o", "--scoring", "--fill", "--diversity", "--seed", "--save-matrix"),
        *("--save-nystrom", "--config", "--set", *RESULT),
    ],
    "export": ["DIR", "--to", "--method", "--data-source", "-o", "--json", "--help"],
    "signal": [
        "DIR",
        "NAME...",
        "--policy",
        "--config",
        "--set",
        "--overwrite",
        "--slice",
        "--trust",
        "--json",
        "--help",
    ],
    "compare": ["DIR", "-n", "--norms", "--trust", "--json", "--help"],
    "train": ["DIR", "--subset", "--name", "--curriculum", "--start", "--seed", "--config", "--set", *RESULT],
    "eval": ["DIR", "--data", "--k", "--rounds", "--policy", "--name", "--against", "--config", "--set", *RESULT],
    "paper": ["TABLE", "--scale", "--dir", "--jobs", "--show", "--dry-run", "--json", "--help"],
    "verify": [
        "FILE|DIR",
        "--verifier",
        "--with",
        "--completion",
        "--answer",
        "-o",
        "--workers",
        "--timeout",
        "--reasoning-tag",
        "--sandbox",
        "--trust",
        "--json",
        "--help",
    ],
    "report": ["DIR", "-o", "--compare", "--json", "--help"],
    "show": ["DIR", "--id", "--never", "--half", "--always", "-n", "--neighbours", "--full", "--json", "--help"],
    "status": ["DIR", "--check", "--repair", "--json", "--help"],
    "doctor": ["--config", "--set", "--json", "--help"],
    "init": ["FILE|NAME", "-o", "--model", "--name", "--split", "--json", "--help"],
    "config": ["KEY", "--schema", "--json", "--help"],
    "plan": ["DIR", "--config", "--set", "--rows", "--gpus", "--trust", "--json", "--help"],
}
HEAVY = ("torch", "transformers", "trl", "vllm", "datasets", "pyarrow", "numpy", "pydantic", "math_verify")


def learnalign(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "learnalign_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def invoke(*arguments: Any) -> Result:
    """The command in this process, which has imported what it needs. Raises what would be a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    settings = make_config(tmp_path, warmup={"size": 0, "max_completion_length": 64})  # the model takes 512 tokens
    path.write_text(dump_config(settings), encoding="utf-8")
    return path


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys, learnalign_cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def options_of(command: Any) -> list[str]:
    """Metavars of arguments, and the short or only name of options."""
    context = command.make_context("learnalign", [], resilient_parsing=True)
    parameters = command.get_params(context)
    return [min(one.opts, key=len) if one.param_type_name == "option" else one.metavar for one in parameters]


def test_the_commands_and_their_options_are_frozen() -> None:
    commands = typer.main.get_group(app).commands
    options = {name: options_of(command) for name, command in commands.items()}
    short_help = {name: ["--help" if option == "-h" else option for option in each] for name, each in options.items()}
    assert {name: sorted(each) for name, each in short_help.items()} == {
        name: sorted(each) for name, each in OPTIONS.items()
    }


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_every_command_explains_itself_with_an_example_that_parses(command: str) -> None:
    result = learnalign(command, "--help")
    assert result.returncode == 0
    assert "<bool>" not in result.stdout
    example = " ".join(result.stdout.replace("│", " ").split()).partition("Example: learnalign ")[2].split()
    assert example[0] == command
    typer.main.get_group(app).commands[command].make_context(command, example[1:])


def test_every_command_stands_in_one_group_and_the_first_ones_come_first() -> None:
    grouped = [name for names in PANELS.values() for name in names]
    assert len(set(grouped)) == len(grouped)
    assert COMMANDS.keys() <= set(grouped)
    help = learnalign("--help").stdout
    assert "<bool>" not in help
    assert [panel for panel in PANELS if f"─ {panel} ─" in help] == [*PANELS]
    assert help.index("│ doctor") < help.index("│ run") < help.index("│ status") < help.index("│ train")


def test_every_method_and_format_has_a_line_in_the_help_of_select() -> None:
    help = " ".join(learnalign("select", "--help", env={**os.environ, "COLUMNS": "200"}).stdout.split())
    lines = [f"{name}: {about}" for table in (METHODS, FORMATS) for name, about in table.items()]
    assert [line for line in lines if line not in help] == []


def test_windows_is_told_what_to_do_and_no_traceback() -> None:
    script = "import os, learnalign_cli; os.name = 'nt'; import learnalign_cli.__main__"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("learnalign runs on Linux and macOS; on Windows, install it in WSL")
    assert result.stderr.count("\n") == 1


def test_the_version_is_that_of_the_package() -> None:
    assert learnalign("--version").stdout == f"learnalign {importlib.metadata.version('learnalign')}\n"


def test_an_unknown_option_value_names_the_known_ones(config: Path, tmp_path: Path) -> None:
    wrong = [
        "select.method=lernalign",
        "train.curriculum=gian",
        "select.format=csv",
        "grad.projection=none",
        "verifier=mth",
    ]
    result = invoke("run", tmp_path / "run", "--config", config, *[part for one in wrong for part in ("--set", one)])
    assert result.exit_code == 2
    assert all(key.partition("=")[0] in result.stderr for key in wrong)
    assert all(name in result.stderr for name in ("mean learnalign?", "shuffled", "source", "kronecker", "mean math?"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grad"], "DIR"),
        (["gard", "x"], "No such command"),
        (["grad", "{tmp}/none"], "not a run directory"),
        (["status", "{tmp}/none"], "not a run directory"),
        (["run", "{tmp}/run", "--config", "{tmp}/none.yaml"], "ready configs"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "grad.dimm=3"], "did you mean grad.dim?"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "data.path={tmp}/none.jsonl"], "no such file"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "data.prompt=nothing"], "no column 'nothing'"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "data.answer=kinds"], "no column 'kinds'"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "model.name={tmp}/none"], "no such directory"),
        (["run", "{tmp}/run", "--config", "{config}", "--set", "verifier=no.such:function"], "no.such"),
    ],
)
def test_wrong_use_is_one_message_and_exit_code_2(
    arguments: list[str], words: str, config: Path, tmp_path: Path
) -> None:
    result = invoke(*[argument.format(tmp=tmp_path, config=config) for argument in arguments])
    assert result.exit_code == 2, result.stderr
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "warmup.trainer.toop_k=1"], "did you mean top_k?"),
        (["--set", "train.trainer.toop_k=1"], "did you mean top_k?"),
        (["--stages", "0.5,2"], "add up to 1 at most"),
        (["--stages", "0.5,x"], "comma-separated fractions"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_stored(
    options: list[str], words: str, config: Path, tmp_path: Path
) -> None:
    result = invoke("run", tmp_path / "run", "--config", config, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "run").exists()


def test_other_settings_are_refused_with_the_difference(config: Path, tmp_path: Path) -> None:
    assert invoke("rollout", tmp_path / "run", "--config", config).exit_code == 0
    result = invoke("rollout", tmp_path / "run", "--set", "rollout.temperature=0.5")
    assert result.exit_code == 2
    assert "rollout.temperature: stored 1.0, requested 0.5" in result.stderr
    assert "--overwrite" in result.stderr
    before = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert before["rollout"]["temperature"] == 1.0


def test_a_dry_run_writes_nothing(config: Path, tmp_path: Path) -> None:
    result = invoke("run", tmp_path / "run", "--config", config, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert (plan["rows"], plan["left_out"], plan["prompts"]) == (12, 0, 12)
    work = {stage["stage"]: stage for stage in plan["stages"]}
    settings = plan["config"]["rollout"]
    sampled = 12 * settings["num_generations"] * settings["max_completion_length"]
    assert work["rollout"]["tokens"] > sampled
    assert work["rollout"]["disk_bytes"] == 6 * sampled
    grad, shards = plan["config"]["grad"], -(-12 // plan["config"]["executor"]["shard_size"])
    assert work["grad"]["disk_bytes"] == (12 * 2 + shards * 2 * 8) * grad["dim"]
    assert work["warmup"]["disk_bytes"] is None
    assert not (tmp_path / "run").exists()


def test_a_dry_run_of_rounds_shows_their_sizes_stages_and_steps(config: Path, tmp_path: Path) -> None:
    options = ["--config", config, "--stages", "0.5,0.5", "--set", "train.steps=7", "--set", "train.until.patience=2"]
    result = invoke("run", tmp_path / "run", *options, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert [(each["round"], each["prompts"], each["chosen"]) for each in plan["rounds"]] == [(1, 12, 6), (2, 6, 6)]
    stages = [[(work["stage"], work["steps"]) for work in each["stages"]] for each in plan["rounds"]]
    assert stages == [[("rollout", None), ("grad", None), ("train", 7)], [("train", 7)]]
    table = invoke("run", tmp_path / "run", *options, "--dry-run").stdout
    assert "rollout, grad, select, train" in table
    assert "a round ends at convergence: 2 steps" in table
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "stage"),
    [(["train", "--subset"], "train"), (["eval", "--policy", "base", "--data"], "rollout")],
)
def test_a_dry_run_on_other_data_writes_nothing(config: Path, tmp_path: Path, arguments: list[str], stage: str) -> None:
    pool = yaml.safe_load(config.read_text())["data"]["path"]
    result = invoke(arguments[0], tmp_path / "run", *arguments[1:], pool, "--config", config, "--dry-run", "--json")
    assert [(work["stage"], work["prompts"]) for work in json.loads(result.stdout)["stages"]] == [(stage, 12)]
    assert not (tmp_path / "run").exists()


def test_a_disk_that_cannot_be_written_is_said_so(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:  # root may write anywhere: put a file where the directory would be
        (tmp_path / "locked" / "run").write_text("")
        target = folder / "run" / "run"
    else:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        target = folder / "run"
    result = invoke("rollout", target, "--config", config)
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = learnalign("status", tmp_path, "--debug")
    assert "Traceback" in result.stderr
