"""How long a table takes on GPUs, before anything is at hand: the work of its pipelines, trainings and evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from learnalign import demo
from learnalign.evaluation import evaluation_config
from learnalign.papers.cells import Cell
from learnalign.papers.pipeline import LIMR, SPENT, for_limr, needs, signals_of
from learnalign.papers.table import Table, split_test
from learnalign.plan import PoolSize, Work, work
from learnalign.policy import model_path
from learnalign.rates import core, estimate, gpu
from learnalign.rundir import RunDir
from learnalign.selection.ranking import size_of

GPU, CORE = "H100", "core"
QUESTIONS = 1000  # of a test set that does not say how many it has


@dataclass(frozen=True, kw_only=True)
class Hours:
    """A stage of all cells of a panel: how often it is done, its tokens together, and hours of one `device` from `low` to `high`."""

    panel: str
    stage: str
    times: int
    tokens: int
    device: str
    low: float
    high: float


def hours_of(table: Table, cells: Sequence[Cell]) -> list[Hours]:
    """The estimate by panel and stage, roughly: from the model's size, its pool's and the longest completions alone."""
    found: dict[tuple[str, str], Hours] = {}
    for cell, stage, one in _works(table, cells):
        panel = table.panels[cell.panel]
        embedded = model_path(cell.config) == str(demo.MODEL)
        device = CORE if embedded else GPU
        time = estimate(one, cell.config, core(panel.parameters) if embedded else gpu(GPU, panel.parameters), {})
        before = found.get((cell.panel, stage))
        before = before or Hours(panel=cell.panel, stage=stage, times=0, tokens=0, device=device, low=0, high=0)
        found[cell.panel, stage] = replace(
            before,
            times=before.times + (stage in ("eval", one.stage)),
            tokens=before.tokens + one.tokens,
            low=before.low + time.low / 3600,
            high=before.high + time.high / 3600,
        )
    return list(found.values())


def _works(table: Table, cells: Sequence[Cell]) -> Iterator[tuple[Cell, str, Work]]:
    """Every stage once that some cells share, and each cell's training and evaluations; with the stage as which it counts."""
    done: set[tuple[str, str]] = set()
    for cell in cells:
        panel = table.panels[cell.panel]
        pool = PoolSize(panel.rows, panel.rows * panel.prompt_tokens)
        for stage in needs(cell):
            place = cell.pipeline if stage == "grad" else cell.shared
            nothing = stage == "signal" or (stage == "warmup" and not cell.config.warmup.size)
            if not nothing and (stage, place) not in done:
                done.add((stage, place))
                yield cell, stage, work(stage, cell.config, pool)
        if LIMR in signals_of(cell) and (LIMR, cell.pipeline) not in done:
            done.add((LIMR, cell.pipeline))
            yield cell, "train", work("train", for_limr(RunDir(Path(), cell.config), [cell]).config, pool)
        for stage, one in _trainings(cell, pool):
            yield cell, stage, one
        policies = 1 if cell.arm.train == "none" else len(cell.arm.rounds or cell.at) * cell.arm.trains
        for test in dict.fromkeys(split_test(test)[0] for test in cell.tests):
            planned = evaluation_config(RunDir(Path(), cell.config), test, "base", cell.evaluate)
            questions = PoolSize(
                planned.eval.questions or QUESTIONS, (planned.eval.questions or QUESTIONS) * panel.prompt_tokens
            )
            for _ in range(policies * planned.eval.rounds):
                yield cell, "eval", work("rollout", planned, questions)


def _trainings(cell: Cell, pool: PoolSize) -> Iterator[tuple[str, Work]]:
    """Of rounds, with the stages before each; of an arm that spends, twice, the second time longer by what a selection costs."""
    for part in cell.arm.rounds or ():
        for stage in ("rollout", "grad"):
            yield stage, work(stage, cell.config, pool)
        yield "train", work("train", cell.config, pool.part(size_of(part, pool.prompts)))
    if cell.arm.rounds or not cell.arm.trains:
        return
    size = pool.prompts if cell.size is None or cell.size == "all" else size_of(cell.size, pool.prompts)
    yield "train", work("train", cell.config, pool.part(size))
    if cell.arm.spend:
        yield "train", work("train", cell.config, pool.part(size))
        for stage in SPENT:
            yield "train", work(stage, cell.config, pool)
