"""`learnalign status --repair`: makes the missing and damaged files of a run directory again, by the commands that make them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from .stepping import SAMPLING, perform

if TYPE_CHECKING:
    from learnalign.rundir import RunDir
    from learnalign.rundir.checking import Problem

# What no stage writes, with the command that does.
MADE = {"norms.csv": ("compare", {"norms": True}), "report.html": ("report", {})}
ORDER = ("pool", "warmup", "rollout", "grad", "signal", "select")


def repair(directory: Path) -> None:
    """Put back the records, then make again what is missing or damaged: outer run directories before those inside."""
    from learnalign.rundir import RunDir
    from learnalign.rundir.checking import find_problems, put_back, run_directories, set_aside
    from learnalign.rundir.files import delete

    for root in run_directories(directory):
        for line in put_back(root):
            print(f"learnalign: {line}", file=sys.stderr)
    found = find_problems(directory)
    problems = [problem for problem in found if _can_be_made(problem)]
    for problem in found:
        if _is_saved_matrix(problem) and problem not in problems:
            print(
                f"learnalign: {problem.path}: an earlier version wrote it, and how is not known; `learnalign select "
                f"{shlex.quote(str(problem.root))}` writes one with --save-matrix or --save-nystrom C",
                file=sys.stderr,
            )
    for root in dict.fromkeys(problem.root for problem in problems):
        run, own = RunDir.open(root), [problem for problem in problems if problem.root == root]
        stages = _stages(run, own)
        with run.locked():
            aside = set_aside(own)
            run.reopen(stages)
        if not _perform_again(root):
            for command, arguments, options in _commands(run, stages, own):
                perform(command, run, arguments=arguments, anyway=command in SAMPLING, **options)
            for options in _exports(own):
                perform("export", run, **options)
            for file in _evaluations(own):
                _perform_again(file.with_suffix(""))
        for path in aside:
            delete(path)


def _can_be_made(problem: Problem) -> bool:
    """Whether a command is known that makes the file; another one stays as it is, for the user to look at."""
    if _is_saved_matrix(problem):
        from learnalign.rundir import RunDir

        record = RunDir.peek(problem.root).read_record()["stages"].get("select", {})
        return PurePath(problem.file).name in record.get("saved", {})
    own = problem.stage is not None or problem.file in MADE
    return own or bool(_evaluations([problem])) or bool(_exports([problem]))


def _is_saved_matrix(problem: Problem) -> bool:
    return PurePath(problem.file).match("scores/*.safetensors")


def _exports(problems: list[Problem]) -> list[dict[str, Any]]:
    """The options of `export` for the files of DIR/export, and those beside them, that it can make again."""
    from learnalign.rundir import RunDir

    wanted = {
        (problem.root, PurePath(problem.file).stem) for problem in problems if PurePath(problem.file).match("export/*")
    }
    return [
        {name.replace("_", "-"): value for name, value in options.items()}
        for root in dict.fromkeys(root for root, _ in wanted)
        for file, options in RunDir.peek(root).read_record().get("exports", {}).items()
        if any(_stem(file, stem) for own, stem in wanted if own == root)
    ]


def _stem(file: str, stem: str) -> bool:
    """Whether a file beside an exported one has this stem: verl.json, nemo_rl_system.txt."""
    own = PurePath(file).stem
    return stem == own or stem.startswith(f"{own.replace('-', '_')}_")


def _evaluations(problems: list[Problem]) -> list[Path]:
    """The results of evaluations, DIR/eval/NAME.json, whose run directories are there."""
    results = [problem.path for problem in problems if PurePath(problem.file).match("eval/*.json")]
    return [path for path in results if path.with_suffix("").joinpath("run.json").is_file()]


def _perform_again(directory: Path) -> bool:
    """Perform the command that made a training or an evaluation; False for any other run directory."""
    from learnalign.rundir import RunDir

    made_by = RunDir.peek(directory).read_record().get("made_by")
    if made_by is None:
        return False
    options = {key: value for key, value in made_by.items() if key != "command"}
    perform(made_by["command"], RunDir.peek(directory.parent.parent), **options)
    return True


def _stages(run: RunDir, problems: list[Problem]) -> list[str]:
    """The stages to run again, in their order; all that leave prompts out if the list of these is damaged."""
    stages = {problem.stage for problem in problems if problem.stage}
    if any(problem.file == "quarantine.jsonl" for problem in problems):
        stages |= {"rollout", "grad"}
    return [name for name in (*ORDER, "train") if name in stages & run.read_record()["stages"].keys()]


def _commands(
    run: RunDir, stages: list[str], problems: list[Problem]
) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Command, arguments and options, one after another, of what makes the problems' files."""
    from learnalign.prompts import load_prompts
    from learnalign.rundir import Label

    record = run.read_record()["stages"]
    files = [PurePath(problem.file) for problem in problems]
    for stage in stages:
        if stage == "pool":
            load_prompts(run)
        elif stage == "rollout":
            engine = str(record["rollout"].get("engine", ""))
            yield "rollout", [], {"from": engine.removeprefix("file ")} if engine.startswith("file ") else {}
        elif stage == "signal":
            for name in sorted({file.stem for file in files if file.parts[0] == "signals" and len(file.parts) == 2}):
                model = record["signal"].get("signals", {}).get(name, {}).get("policy")
                yield "signal", [name], {"policy": model} if model else {}
        elif stage == "select":
            methods = record["select"].get("methods", {})
            again: dict[str, dict[str, Any]] = {label: {} for file in files if (label := _label(file)) in methods}
            for name, (label, more) in record["select"].get("saved", {}).items():
                if PurePath("scores", name) in files and label in methods:
                    again[label] = again.get(label, {}) | more
            for label, more in sorted(again.items()):
                options = methods[label].get("options", {"size": methods[label]["size"]})
                yield "select", [], options | Label.parse(label).options_in(run.config) | more
        else:
            yield stage, [], {}
    for name, (command, options) in MADE.items():
        if PurePath(name) in files:
            yield command, [], options


def _label(file: PurePath) -> str:
    """The label of the choice that a file of scores or a subset is of."""
    if file.parts[0] == "scores":
        return file.stem
    return "learnalign" if file.stem == "subset" else file.stem.removeprefix("subset-")
