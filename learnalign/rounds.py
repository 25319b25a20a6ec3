"""Staged reinforcement learning (LearnAlign, App. K) in rounds: select with the current policy, train, select again
from the rest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import learnalign
from learnalign.checks import check
from learnalign.config import Config
from learnalign.errors import InputError, counted
from learnalign.handoff.handing import write_messages
from learnalign.plan import Plan, PoolSize, Work, plan, work
from learnalign.policy import model_settings
from learnalign.pool_table import each
from learnalign.prompts import elsewhere, load_prompts, read_pool
from learnalign.rundir import RunDir, check_trust, in_place
from learnalign.rundir.files import write_json, write_lines

NAME = "chosen"  # of each round's subset and training


class Perform(Protocol):
    """Runs one command on a run directory: `warmup`, `rollout`, `grad`, `select` or `train`."""

    def __call__(self, command: str, run: RunDir, **options: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RoundResult:
    """One round: its run directory, the size of its pool and of its subset, and its training: policy, steps, why it ended."""

    directory: Path
    prompts: int
    chosen: int
    policy: Path
    steps: int
    ended: str


def in_process(command: str, run: RunDir, **options: Any) -> None:
    """Call the command's function here; on a GPU, separate processes give memory back."""
    getattr(learnalign, command)(run, **options)


def train_in_rounds(
    run: RunDir, fractions: Sequence[float], perform: Perform = in_process, *, overwrite: bool = False
) -> list[RoundResult]:
    """Train in rounds, each on the prompts that the policy so far would learn most from.

    Every round is an ordinary run directory: DIR/stage-1, DIR/stage-2 and so on. The first has the run's settings,
    warmup included; each later one has the previous round's policy as its model, the first round's as π_ref, and the
    prompts not chosen yet as its pool. A round chooses its fraction of the *original* pool by the run's method, and
    continues down the ranking if too few scores are positive; a round that takes all the rest needs no scores. It then
    trains from the policy that chose, with the `train` section's settings: the paper's rounds end at convergence
    (`train.until`). DIR/staged.json lists the rounds. An interrupted call resumes.

    Args:
        run: its settings; nothing else is read from it.
        fractions: of the original pool, each in (0, 1], at most 1 in total; the paper's are 0.5, 0.3, 0.2.
        perform: runs each command.
        overwrite: replace the rounds of earlier calls, once all are done.

    Raises InputError for invalid fractions and settings, before they are stored, and whatever the commands raise.
    """
    check_fractions(fractions)
    check_trust(run.path, run.config)  # the rounds' directories would be trusted, too
    if overwrite or not run.config_file.is_file() or RunDir.peek(run.path).config != run.config:
        plan_rounds(run.config, fractions, trl=False)
    with _opened(run, overwrite) as opened:
        results = _train(opened, fractions, perform)
    return [in_place(result) for result in results]


@contextlib.contextmanager
def _opened(run: RunDir, overwrite: bool) -> Iterator[RunDir]:
    """The run directory in which rounds are made: `run`, or one whose rounds replace those of `run` at the end."""
    if overwrite:
        with RunDir.overwriting(run.path, run.config, None, more=("stage-*", "staged.json")) as fresh:
            yield fresh
    else:
        opened = RunDir.create(run.path, run.config, trust=False)
        with opened.locked():
            yield opened


def _train(run: RunDir, fractions: Sequence[float], perform: Perform) -> list[RoundResult]:
    current = RunDir.create(run.path / "stage-1", round_config(run.config, None, None), template_time=run.template_time)
    run.save_config()
    results: list[RoundResult] = []
    for number, size in enumerate(round_sizes(len(load_prompts(current)), fractions), 1):
        if number > 1:
            current = _next_round(run, current, results[-1].policy, number)
        results.append(_train_round(current, size, perform))
        write_json(
            run.path / "staged.json", {"fractions": list(fractions), "stages": [_as_json(in_place(r)) for r in results]}
        )
    return results


@dataclass(frozen=True, kw_only=True)
class PlannedRound:
    """One round before it starts: the prompts of its pool, those it takes, and the work of its stages in their order."""

    round: int
    prompts: int
    chosen: int
    stages: list[Work]


def plan_rounds(
    config: Config, fractions: Sequence[float], *, anyway: bool = True, trl: bool = True
) -> tuple[Plan, list[PlannedRound]]:
    """The pool, and what each of the rounds over it would do; writes nothing. Raises InputError as `train_in_rounds` and `plan`."""
    check_fractions(fractions)
    if (cascade := config.grad.cascade) and cascade.signal != "learnability":
        raise InputError(
            f"grad.cascade.signal: {cascade.signal} is computed by no stage of a round; choose learnability, which the rollouts give"
        )
    whole = plan(round_config(config, None, None), [], ["warmup", "rollout", "grad", "train"], anyway=anyway, trl=trl)
    pool = PoolSize(whole.prompts, whole.prompt_tokens)
    rounds, left = [], whole.prompts
    for number, size in enumerate(round_sizes(whole.prompts, fractions), 1):
        own = round_config(config, {} if number > 1 else None, None)
        scored = ["rollout", "grad"] if size < left else []  # a round that takes all the rest needs no scores
        stages = [*(["warmup"] if own.warmup.size else []), *scored]
        works = [*(work(stage, own, pool.part(left)) for stage in stages), work("train", own, pool.part(size))]
        rounds.append(PlannedRound(round=number, prompts=left, chosen=size, stages=works))
        left -= size
    return whole, rounds


def _train_round(run: RunDir, size: int, perform: Perform) -> RoundResult:
    """One round, from its policy to the next."""
    prompts, subset = load_prompts(run), run.path / f"{NAME}.jsonl"
    stages = ["warmup", *(["rollout", "grad"] if size < len(prompts) else []), "train"]
    check(run.config, stages, prompts, run=run)
    perform("warmup", run)
    if size < len(prompts):
        for command in ("rollout", "grad"):
            perform(command, run)
        perform("select", run, size=size, fill=True, output=subset)
    else:
        write_messages(subset, run, prompts)
    perform("train", run, subset=str(subset), name=NAME, start="policy")
    training = run.path / "train" / NAME
    entry = RunDir.peek(training).read_record()["stages"]["train"]
    return RoundResult(
        directory=run.path,
        prompts=len(prompts),
        chosen=min(size, len(prompts)),
        policy=training / "policy",
        steps=entry["counts"]["steps"],
        ended=entry["ended"],
    )


def _next_round(run: RunDir, before: RunDir, policy: Path, number: int) -> RunDir:
    """The run directory of the next round: the rest of the pool, the new policy."""
    folder = run.path / f"stage-{number}"
    pool = folder / "pool.jsonl"
    if not pool.is_file():
        subset = elsewhere(before.config.data, before.path / f"{NAME}.jsonl")
        chosen = read_pool(subset)[0].ids
        write_lines(pool, each(load_prompts(before).without(chosen), "source"))
    model = {**before.config.model.model_dump(), **model_settings(before, str(policy))}
    return RunDir.create(folder, round_config(run.config, model, pool), template_time=before.template_time)


def round_config(config: Config, model: dict[str, Any] | None, pool: Path | None) -> Config:
    """Settings of one round's run directory; the first keeps the run's model and pool (None).

    π_ref of every round is that of the first: the model before warmup and without adapter, or `model.reference`.
    """
    settings, first = config.model_dump(), config.model
    if model is not None or config.warmup.size or first.adapter:
        own = {"reference": first.name, "reference_revision": first.revision}
        settings["model"] |= own if first.reference is None else {}
    settings["select"] |= {"format": "messages"}
    if model is not None:
        settings["model"] |= {key: value for key, value in model.items() if not key.startswith("reference")}
        settings["warmup"]["size"] = 0
    if pool is not None:
        settings["data"] = elsewhere(config.data, pool.resolve()).model_dump()
    return Config.model_validate(settings)


def round_sizes(prompts: int, fractions: Sequence[float]) -> list[int]:
    """Prompts of each round, which add up to the rounded sum of the fractions. Raises InputError for an empty round."""
    ends = [round(prompts * sum(fractions[: i + 1])) for i in range(len(fractions))]
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if not all(sizes):
        empty = fractions[sizes.index(0)]
        raise InputError(f"--stages: a stage of {empty} of {counted(prompts, 'prompt')} is empty; use larger fractions")
    return sizes


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise InputError unless these are fractions of one pool."""
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions) or sum(fractions) > 1 + 1e-9:
        listed = ",".join(f"{fraction:g}" for fraction in fractions)
        raise InputError(f"--stages {listed}: give fractions above 0 that add up to 1 at most, such as 0.5,0.3,0.2")


def _as_json(result: RoundResult) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()}
