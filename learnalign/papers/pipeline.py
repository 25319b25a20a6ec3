"""What a cell's training needs: warmup, rollouts, gradients and signals in a run directory, which cells of a seed share."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.errors import LearnAlignError
from learnalign.gradients import grad
from learnalign.handoff.handing import write_messages
from learnalign.papers.cells import Cell
from learnalign.prompts import load_prompts
from learnalign.rollouts import rollout
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir, this_moment
from learnalign.rundir.files import read_parquet, remove, write_json
from learnalign.rundir.machine import Moment
from learnalign.selection import select
from learnalign.selection.methods import Method, find_method
from learnalign.signals import find_signal, signal
from learnalign.training import train, warmup

LIMR = "limr"  # a signal, and the training whose rewards it reads
SAMPLED = ("pool", "warmup", "rollout")  # what pipelines may share
SPENT = ("warmup", "rollout", "grad")  # what an arm's `spend` spends on its training


def method_of(cell: Cell) -> Method | None:
    """The method by which a cell's prompts are chosen; None if there is no choice."""
    return find_method(cell.arm.method) if cell.arm.chooses else None


def prepare(folder: Path, cells: Sequence[Cell]) -> dict[str, str]:
    """Run the stages that these `cells`, which share warmup and rollouts, need before they are trained.

    Returns why some cannot be trained, by their keys: a stage that they need has failed.
    """
    by_pipeline: dict[str, list[Cell]] = {}
    for cell in cells:
        by_pipeline.setdefault(cell.pipeline, []).append(cell)
    sampled: RunDir | None = None
    failed: dict[str, str] = {}
    for name, own in by_pipeline.items():
        path = folder / name
        if sampled is not None and not path.exists():
            _copy(sampled, path)
        run = RunDir.create(path, own[0].config)
        load_prompts(run)
        _run_stage("warmup", own, failed, partial(warmup, run))
        if _run_stage("rollout", own, failed, partial(rollout, run, anyway=True)):
            sampled = sampled or run
    for name, own in by_pipeline.items():  # after the copies, so that each makes its own
        _complete(RunDir.create(folder / name, own[0].config), own, failed)
    return failed


def _run_stage(stage: str, cells: Sequence[Cell], failed: dict[str, str], work: Callable[[], object]) -> bool:
    """Whether a stage, or a signal, has been done: for those of `cells` that need it and can go on, which else have `failed`."""
    needing = [cell.key for cell in cells if stage in {*needs(cell), *signals_of(cell)} and cell.key not in failed]
    if not needing:
        return False
    try:
        work()
    except LearnAlignError as error:
        failed |= dict.fromkeys(needing, str(error))
        return False
    return True


def needs(cell: Cell) -> tuple[str, ...]:
    """The stages before its choice and training that a cell cannot do without: warmup, rollout, grad, signal."""
    if cell.arm.rounds:
        return ()  # each round has its own
    method, signals = method_of(cell), [find_signal(name) for name in sorted(signals_of(cell))]
    of_policy = any(signal.model for signal in signals) and cell.config.signal.policy == "policy"
    without_solutions = cell.config.data.solution is None
    rollouts = (
        bool(method and (method.learnable or method.reads in ("rollout", "grad")))
        or (curriculum_of(cell) == "adarft" and cell.config.train.adarft.difficulty is None)
        or cell.arm.spend is not None
        or any(signal.answers and without_solutions for signal in signals)
    )
    gradients = cell.arm.spend is not None or (method is not None and method.reads == "grad")
    wanted = {"warmup": rollouts or of_policy, "rollout": rollouts, "grad": gradients, "signal": bool(signals)}
    return tuple(stage for stage, needed in wanted.items() if needed)


def signals_of(cell: Cell) -> set[str]:
    """The signals that its choice or its curriculum reads."""
    method = method_of(cell)
    signals = {method.signal} if method and method.signal else set()
    signals |= {"features"} if cell.arm.diversity else set()
    return signals | ({"angle"} if curriculum_of(cell) == "gain" else set())


def curriculum_of(cell: Cell) -> str | None:
    """The curriculum of its training, if it has one."""
    return cell.config.train.curriculum if cell.arm.trains else None


def _complete(run: RunDir, cells: Sequence[Cell], failed: dict[str, str]) -> None:
    """Gradients, signals and choices."""
    _run_stage("grad", cells, failed, partial(grad, run))
    for name in sorted({name for cell in cells for name in signals_of(cell)}):
        if name == LIMR:
            _run_stage(LIMR, cells, failed, lambda: train(for_limr(run, cells), whole_pool(run), LIMR))
        _run_stage(name, cells, failed, partial(_signal, run, name))
    for cell in cells:
        if cell.size is not None and cell.key not in failed:
            with suppress(LearnAlignError):  # which its `perform` meets again; the others go on
                choose(run, cell)


def for_limr(run: RunDir, cells: Sequence[Cell]) -> RunDir:
    """The run directory with the training whose rewards LIMR reads: on the whole pool for the config's epochs."""
    config = next(cell.config for cell in cells if LIMR in signals_of(cell))
    section = config.train.model_copy(update={"steps": None, "keep_checkpoints": None})
    return RunDir(run.path, config.model_copy(update={"train": section}))


def _signal(run: RunDir, name: str) -> None:
    """Compute a signal, and keep what it cost: run.json has the cost of all of them together.

    What an interrupted or failed call left is computed anew, since nobody knows what it cost.
    """
    if not (file := signal_cost_file(run, name)).is_file():
        file.parent.mkdir(exist_ok=True)
        with run.locked():
            remove(run.signal_parts(name))
        started = this_moment()
        signal(run, [name], overwrite=True)
        write_json(file, _cost_since(started))


def cost(entry: Mapping[str, Any]) -> dict[str, float]:
    """What a stage cost, from its entry in run.json."""
    return {key: entry[key] for key in ("seconds", "cpu_seconds")}


def _cost_since(started: Moment) -> dict[str, float]:
    ended = this_moment()
    return {"seconds": ended.clock - started.clock, "cpu_seconds": ended.cpu - started.cpu}


def signal_cost_file(run: RunDir, name: str) -> Path:
    """What computing a signal cost, beside the run directory."""
    return run.path.with_name(f"{run.path.name}-chosen") / f"{name}.cost"


def choose(run: RunDir, cell: Cell) -> None:
    """Write the cell's subset, and what was chosen as JSON beside it, unless they are there."""
    file = subset_of(run, cell)
    if file.with_suffix(".choice").is_file():
        return
    file.parent.mkdir(exist_ok=True)
    size = len(load_prompts(run)) if cell.size == "all" else cell.size
    started = this_moment()
    result = select(run, size, cell.arm.method, diversity=cell.arm.diversity, output=file)
    cost = _cost_since(started)
    shares = [[s.column, s.value, s.prompts, s.eligible, s.chosen] for s in result.shares]
    choice = {"chosen": result.chosen, "select": cost, "shares": shares, **_means(run, set(result.ids))}
    write_json(file.with_suffix(".choice"), choice)


def _means(run: RunDir, ids: set[str]) -> dict[str, float]:
    """Mean success rate of some prompts and tokens of their completions, if there are rollouts."""
    if not run.is_finished("rollout"):
        return {}
    rates = [row.correct / row.scored for id, row in load_success(run).items() if id in ids and row.scored]
    lengths = []
    for shard in run.shards():
        table = read_parquet(run.rollouts_file(shard), ["id", "completion_ids"])
        own = table.filter(pc.is_in(table["id"], pa.array(sorted(ids))))
        lengths += pc.list_value_length(own["completion_ids"]).to_pylist()
    return {"success_rate": statistics.fmean(rates), "response_tokens": statistics.fmean(lengths)}


def subset_of(run: RunDir, cell: Cell) -> Path:
    """The file with the prompts of the cell's training, beside the run directory."""
    return run.path.with_name(f"{run.path.name}-chosen") / f"{cell.label}.jsonl"


def whole_pool(run: RunDir) -> Path:
    """A file with all prompts of the run's pool, as they were scored."""
    file = run.path.with_name(f"{run.path.name}-chosen") / "pool.jsonl"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        write_messages(file, run, load_prompts(run))
    return file


def _copy(sampled: RunDir, path: Path) -> None:
    """Pool, warmup and rollouts of a run directory in another one, whole or not at all; later stages may have other settings."""
    unfinished = path.with_name(f"{path.name}.copy")
    shutil.rmtree(unfinished, ignore_errors=True)
    for source in sampled.outputs(*SAMPLED):
        target = unfinished / source.relative_to(sampled.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    record = sampled.read_record()
    stages = {stage: entry for stage, entry in record["stages"].items() if stage in SAMPLED}
    write_json(unfinished / "run.json", record | {"stages": stages, "manifest": None})
    unfinished.rename(path)
