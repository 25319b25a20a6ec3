"""From the records of cells to the numbers of a table's columns (names.MEASURES)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from learnalign.papers.cells import Cell
from learnalign.papers.results import Record, Results
from learnalign.papers.table import Number, Size, Table

SHARES = ("accuracy", "average", "best")  # printed in percent, as the papers do
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One number of the table: ours by seed, in the paper's unit, and the paper's own; None where there is none."""

    panel: str
    arm: str
    size: Size
    measure: str
    test: str | None
    values: dict[int, float]
    published: float | None
    published_std: float | None

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def standard_error(self) -> float | None:
        """Of the mean over seeds."""
        count = len(self.values)
        return statistics.stdev(self.values.values()) / count**0.5 if count > 1 else None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return None if self.mean is None or self.published is None else self.mean - self.published


def entries(table: Table, cells: Sequence[Cell], results: Results) -> list[Entry]:
    """Every number of the table, panel by panel and arm by arm in the order of its columns."""
    found = {(cell.panel, cell.name, cell.size, cell.seed): record for cell in cells if (record := results.of(cell))}
    seeds = sorted({cell.seed for cell in cells})
    rows = list(dict.fromkeys((cell.panel, cell.name) for cell in cells))
    made: list[Entry] = []
    for panel, name in rows:
        published = _spread(table.published.get(panel, {}).get(name, []), len(table.columns(panel)))
        for (size, measure, test), number in zip(table.columns(panel), published, strict=True):
            own, reference = _size_of(table, name, size), table.reference
            values = {}
            for seed in seeds:
                record = found.get((panel, name, own, seed))
                yardstick = found.get((panel, reference, _size_of(table, reference, size), seed)) if reference else None
                if record and (value := _value(record, measure, test, yardstick)) is not None:
                    values[seed] = 100 * value if measure in SHARES else value
            one, std = number if isinstance(number, list) else (number, None)
            made.append(
                Entry(
                    panel=panel,
                    arm=name,
                    size=size,
                    measure=measure,
                    test=test,
                    values=values,
                    published=one,
                    published_std=std,
                )
            )
    return made


def _size_of(table: Table, name: str, size: Size) -> Size | None:
    """The size in the key of an arm's cell under this column."""
    arm = table.arms[name]
    return None if arm.train != "subset" or arm.rounds else arm.size or size


def _spread(numbers: Sequence[Number], columns: int) -> list[Number]:
    """The paper's numbers by column: an arm without sizes has its own once, for every size."""
    if numbers and columns % len(numbers) == 0:
        return [*numbers] * (columns // len(numbers))
    return [*numbers, *[None] * columns][:columns]


def _value(record: Record, measure: str, test: str | None, reference: Record | None) -> float | None:
    if measure == "accuracy":
        return _last(record["accuracy"][test]) if test in record["accuracy"] else None
    return _MEASURES[measure](record, reference)


def curve(record: Record) -> dict[int, float]:
    """Mean accuracy over the tests, by step."""
    tests = list(record["accuracy"].values())
    return {int(step): statistics.fmean(own[step]["value"] for own in tests) for step in tests[0]}


def _last(steps: dict[str, dict[str, float]]) -> float:
    return steps[max(steps, key=int)]["value"]


def _average(record: Record, _: Record | None) -> float:
    return curve(record)[max(curve(record))]


def _best(record: Record, _: Record | None) -> float:
    return max(curve(record).values())


def _best_step(record: Record, _: Record | None) -> float:
    return max(curve(record).items(), key=lambda point: (point[1], -point[0]))[0]


def _steps_to(record: Record, reference: Record | None) -> float | None:
    if reference is None or "training" not in record:
        return None
    goal = _average(reference, None)
    return min((step for step, value in curve(record).items() if value >= goal), default=None)


def _speed_up(record: Record, reference: Record | None) -> float | None:
    steps = _steps_to(record, reference)
    return max(curve(reference)) / steps if reference and steps else None


def seconds(record: Record, *stages: str, kind: str = "seconds") -> float:
    """Seconds of these stages (all, if none is named), or `kind: cpu_seconds`."""
    return sum(cost[kind] for stage, cost in record["costs"].items() if not stages or stage in stages)


def _hours(*stages: str) -> Callable[[Record, Record | None], float | None]:
    def hours(record: Record, _: Record | None) -> float | None:
        return seconds(record, *stages) / HOUR if any(stage in record["costs"] for stage in stages) else None

    return hours


def _cost_speed_up(record: Record, reference: Record | None) -> float | None:
    return seconds(reference) / seconds(record) if reference and record["costs"] else None


_MEASURES: dict[str, Callable[[Record, Record | None], float | None]] = {
    "average": _average,
    "best": _best,
    "best-step": _best_step,
    "steps-to": _steps_to,
    "speed-up": _speed_up,
    "warmup-hours": _hours("warmup"),
    "rollout-hours": _hours("rollout"),
    "gradient-hours": _hours("grad"),
    "select-hours": _hours("select"),
    "selection-hours": _hours("warmup", "rollout", "grad", "signal", "select"),
    "training-hours": _hours("train"),
    "cost-speed-up": _cost_speed_up,
    "chosen": lambda record, _: record.get("chosen"),
    "response-tokens": lambda record, _: record.get("response_tokens"),
    "norm-length": lambda record, _: record.get("norm-length"),
}
