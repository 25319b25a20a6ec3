"""`learnalign run --stages`: training in rounds (LearnAlign, App. K)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import named_run, print_json, print_table
from .planning import print_settings
from .stepping import SAMPLING, perform

if TYPE_CHECKING:
    from learnalign.config import Config
    from learnalign.plan import Work
    from learnalign.rundir import RunDir


def run_rounds(
    directory: Path,
    config: str | None,
    overrides: list[str] | None,
    stages: str,
    overwrite: bool,
    as_json: bool,
    trust: bool,
    anyway: bool = False,
) -> None:
    """Train in rounds, one for each of the comma-separated fractions `stages`; print each one's subset and policy."""
    from learnalign.rounds import train_in_rounds

    run = named_run(directory, config, overrides, trust)
    results = train_in_rounds(run, _fractions(stages), partial(_perform, anyway), overwrite=overwrite)
    if as_json:
        print_json([vars(result) for result in results])
        return
    rows = [[r.directory.name, r.prompts, r.chosen, r.steps, r.ended, str(r.policy)] for r in results]
    print_table(str(run.path), ["round", "prompts", "chosen", "steps", "ended by", "policy"], rows)


def show_rounds(config: Config, stages: str, as_json: bool, anyway: bool) -> None:
    """Print the work of each round; nothing is written. Golds that are whole solutions are refused unless `anyway`."""
    from dataclasses import asdict

    from learnalign.errors import counted
    from learnalign.rounds import plan_rounds

    plan, rounds = plan_rounds(config, _fractions(stages), anyway=anyway)
    if as_json:
        listed = [asdict(each) for each in rounds]
        print_json({**asdict(plan), "config": config.model_dump(mode="json"), "rounds": listed})
        return
    print("it can run: nothing stands in the way")
    rows = [[r.round, r.prompts, r.chosen, *_work(r.stages)] for r in rounds]
    columns = ["round", "prompts", "chosen", "stages", "training steps at most", "tokens at most"]
    print_table(f"{counted(plan.prompts, 'prompt')} in rounds", columns, rows)
    if until := config.train.until:
        print(
            f"a round ends at convergence: {counted(until.patience, 'step')} without a rise of more than {until.min_delta:g}"
        )
    print_settings(config)


def _work(stages: list[Work]) -> list[Any]:
    """Names of a round's stages, the steps of its training, and the tokens of all."""
    names = [work.stage for work in stages]
    names[-1:-1] = ["select"] if "grad" in names else []
    return [", ".join(names), stages[-1].steps, sum(work.tokens for work in stages)]


def _fractions(stages: str) -> list[float]:
    from learnalign.errors import InputError

    try:
        return [float(part) for part in stages.split(",")]
    except ValueError:
        raise InputError(f"--stages {stages}: give comma-separated fractions, such as 0.5,0.3,0.2") from None


def _perform(anyway: bool, command: str, run: RunDir, **options: Any) -> None:
    perform(command, run, label=f"{run.path.name}: ", anyway=anyway and command in SAMPLING, **options)
