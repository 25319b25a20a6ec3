"""Staged reinforcement learning (LearnAlign, App. K): select with the current policy, train, select from the rest
again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from learnalign.config import Config
from learnalign.errors import InputError
from learnalign.gradients import grad
from learnalign.policy import model_settings
from learnalign.prompts import Prompt, load_prompts, read_pool
from learnalign.rollouts import rollout
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_json, write_text
from learnalign.selection import select
from learnalign.training import train, warmup

NAME = "chosen"  # of each stage's training


class Perform(Protocol):
    """Does one command's work on a run directory: `warmup`, `rollout`, `grad`, `select` or `train`."""

    def __call__(self, command: str, run: RunDir, **options: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """One stage: its run directory, the prompts it had to choose from and chose, and the policy it was trained to."""

    directory: Path
    prompts: int
    chosen: int
    policy: Path


def in_process(command: str, run: RunDir, **options: Any) -> None:
    """Call the stage's function here; on a GPU, commands in processes of their own give memory back."""
    commands: dict[str, Callable[..., Any]]
    commands = {"warmup": warmup, "rollout": rollout, "grad": grad, "select": select, "train": train}
    commands[command](run, **options)


def staged(run: RunDir, fractions: Sequence[float], perform: Perform = in_process) -> list[StageOutcome]:
    """Train in stages, each on the prompts that the policy so far would learn most from.

    Every stage is an ordinary run directory, DIR/stage-1, DIR/stage-2 and so on. The first has the run's settings,
    warmup included; each later one has the policy of the one before as its model, and the prompts not chosen yet as its
    pool. A stage chooses its fraction of the *original* pool by the run's method, going on down the ranking where too
    few scores are positive; a stage that takes all the rest needs no scores. It then trains from the policy that chose,
    as the `train` section says. DIR/staged.json tells what became of it. Run again, it goes on where it was.

    Args:
        run: its settings; nothing else is read from it.
        fractions: of the original pool, each in (0, 1], 1 in all at most; the paper's are 0.5, 0.3, 0.2.
        perform: does each command's work.

    Raises InputError for fractions that do not fit; and whatever the stages raise.
    """
    check_fractions(fractions)
    first = RunDir.create(run.path / "stage-1", stage_config(run.config, None, None))
    sizes = stage_sizes(len(load_prompts(first)), fractions)
    outcomes: list[StageOutcome] = []
    stage = first
    for number, size in enumerate(sizes, 1):
        if number > 1:
            stage = _next(run, stage, outcomes[-1].policy, number)
        outcomes.append(_work(stage, size, perform))
        write_json(run.path / "staged.json", {"fractions": list(fractions), "stages": [_as_json(o) for o in outcomes]})
    return outcomes


def _work(run: RunDir, size: int, perform: Perform) -> StageOutcome:
    """One stage, from its policy to the next."""
    prompts, subset = load_prompts(run), run.path / f"{NAME}.jsonl"
    perform("warmup", run)
    if size < len(prompts):
        for command in ("rollout", "grad"):
            perform(command, run)
        perform("select", run, size=size, fill=True, output=subset)
    else:
        write_rows(subset, prompts)
    perform("train", run, subset=str(subset), name=NAME, start="policy")
    policy = run.path / "train" / NAME / "policy"
    return StageOutcome(directory=run.path, prompts=len(prompts), chosen=min(size, len(prompts)), policy=policy)


def _next(run: RunDir, before: RunDir, policy: Path, number: int) -> RunDir:
    """The run directory of the next stage: the rest of the pool, the new policy."""
    folder = run.path / f"stage-{number}"
    pool = folder / "pool.jsonl"
    if not pool.is_file():
        subset = before.config.data.model_copy(update={"path": str(before.path / f"{NAME}.jsonl"), "limit": None})
        chosen = {prompt.id for prompt in read_pool(subset)[0]}
        write_rows(pool, [prompt for prompt in load_prompts(before) if prompt.id not in chosen])
    model = {**before.config.model.model_dump(), **model_settings(before, str(policy))}
    return RunDir.create(folder, stage_config(run.config, model, pool))


def write_rows(path: Path, prompts: Sequence[Prompt]) -> None:
    """The prompts' input rows, verbatim, one a line."""
    write_text(path, "".join(f"{prompt.source}\n" for prompt in prompts))


def stage_config(config: Config, model: dict[str, Any] | None, pool: Path | None) -> Config:
    """Settings of one stage's run directory; the first has neither another model nor another pool."""
    settings = config.model_dump()
    settings["select"] |= {"format": "source"}
    if model is not None:
        settings["model"] |= model
        settings["warmup"]["size"] = 0
    if pool is not None:
        settings["data"] |= {"path": str(pool.resolve()), "limit": None}
    return Config.model_validate(settings)


def stage_sizes(prompts: int, fractions: Sequence[float]) -> list[int]:
    """Prompts of each stage: together they are the rounded sum of the fractions. Raises InputError where a stage
    gets none.
    """
    ends = [round(prompts * sum(fractions[: i + 1])) for i in range(len(fractions))]
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if not all(sizes):
        raise InputError(f"--stages: {fractions[sizes.index(0)]} of {prompts} prompts is none; take fewer stages")
    return sizes


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise InputError where these are no fractions of one pool."""
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions) or sum(fractions) > 1 + 1e-9:
        listed = ",".join(f"{fraction:g}" for fraction in fractions)
        raise InputError(f"--stages {listed}: give fractions above 0 that are 1 in all at most, such as 0.5,0.3,0.2")


def _as_json(outcome: StageOutcome) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(outcome).items()}
