"""From the records of cells to the numbers of a table's columns (names.MEASURES)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from learnalign.papers.cells import Cell
from learnalign.papers.results import Record, Results
from learnalign.papers.table import OF_CURVES, Size, Table

SHARES = ("accuracy", "average", "best", "curve")  # printed in percent, as the papers do
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One number of the table: `values` are ours by seed, `published` is the paper's, in the paper's unit; None if it has none.

    `test` is that of accuracy, or the point of a curve; `stds` are of the evaluation's rounds, if there are several.
    """

    panel: str
    arm: str
    size: Size
    measure: str
    test: str | None
    values: dict[int, float]
    stds: dict[int, float]
    published: float | None
    published_std: float | None

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def standard_error(self) -> float | None:
        """Of the mean over seeds."""
        return standard_error(list(self.values.values()))

    @property
    def mean_std(self) -> float | None:
        """Mean over seeds of the standard deviation over an evaluation's rounds."""
        return statistics.fmean(self.stds.values()) if self.stds else None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return None if self.mean is None or self.published is None else self.mean - self.published


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean; None for a single value."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def entries(table: Table, cells: Sequence[Cell], results: Results) -> list[Entry]:
    """Every number of the table, panel by panel and arm by arm in the order of its columns."""
    found = {(cell.panel, cell.name, cell.size, cell.seed): record for cell in cells if (record := results.of(cell))}
    seeds = sorted({cell.seed for cell in cells})
    rows = list(dict.fromkeys((cell.panel, cell.name) for cell in cells))
    made: list[Entry] = []
    for panel, name in rows:
        for (size, measure, test), number in zip(table.columns(panel), table.published_of(panel, name), strict=True):
            own, reference = _size_of(table, name, size), table.reference
            values, stds = {}, {}
            for seed in seeds:
                record = found.get((panel, name, own, seed))
                yardstick = found.get((panel, reference, _size_of(table, reference, size), seed)) if reference else None
                if record and (value := _value(record, measure, test, yardstick)) is not None:
                    values[seed] = 100 * value if measure in SHARES else value
                if record and measure == "accuracy" and (std := last(record["accuracy"][test]).get("std")) is not None:
                    stds[seed] = 100 * std
            one, std = number if isinstance(number, list) else (number, None)
            made.append(
                Entry(
                    panel=panel,
                    arm=name,
                    size=size,
                    measure=measure,
                    test=test,
                    values=values,
                    stds=stds,
                    published=one,
                    published_std=std,
                )
            )
    return made


def _size_of(table: Table, name: str, size: Size) -> Size | None:
    """The size in the key of an arm's cell under this column."""
    arm = table.arms[name]
    return arm.size or size if arm.chooses else None


def _value(record: Record, measure: str, part: str | None, reference: Record | None) -> float | None:
    if measure in ("accuracy", *OF_CURVES) and not curve(record):
        return None  # nothing was trained
    if measure == "accuracy":
        return float(last(record["accuracy"][part or ""])["value"])
    if measure == "curve":
        assert part
        return _at(record, float(part.split()[1]) / 100)
    return OF_RECORD[measure](record, reference)


def curve(record: Record) -> dict[int, float]:
    """Mean accuracy over the tests, by step."""
    tests = list(record["accuracy"].values())
    return {int(step): statistics.fmean(own[step]["value"] for own in tests) for step in tests[0]} if tests else {}


def last(steps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the last policy reached on a test, of its entries by step."""
    return steps[max(steps, key=int)]


def _at(record: Record, share: float) -> float:
    """The mean accuracy after this share of the steps, or of the rounds."""
    points = curve(record)
    wanted = max(1, round(share * max(points)))
    return points[min(points, key=lambda step: abs(step - wanted))]


def average(record: Record, _: Record | None = None) -> float:
    """The last policy's mean accuracy over the tests."""
    return curve(record)[max(curve(record))]


def _best(record: Record, _: Record | None) -> float:
    return max(curve(record).values())


def _best_step(record: Record, _: Record | None) -> float:
    return max(curve(record).items(), key=lambda point: (point[1], -point[0]))[0]


def _steps_to(
    record: Record, reference: Record | None, goal: Callable[[Record, Record | None], float] = average
) -> float | None:
    if reference is None or "training" not in record:
        return None
    return min((step for step, value in curve(record).items() if value >= goal(reference, None)), default=None)


def _steps_to_best(record: Record, reference: Record | None) -> float | None:
    return _steps_to(record, reference, _best)


def _speed_up(record: Record, reference: Record | None) -> float | None:
    steps = _steps_to(record, reference)
    return max(curve(reference)) / steps if reference and steps else None


def seconds(record: Record, *stages: str, kind: str = "seconds") -> float:
    """Seconds of these stages (all, if none is named), or `kind: cpu_seconds`; `signal` is every signal."""
    return sum(cost[kind] for stage, cost in record["costs"].items() if not stages or stage.split()[0] in stages)


def _hours(*stages: str) -> Callable[[Record, Record | None], float | None]:
    def hours(record: Record, _: Record | None) -> float | None:
        made = any(stage.split()[0] in stages for stage in record["costs"])
        return seconds(record, *stages) / HOUR if made else None

    return hours


def _cost_speed_up(record: Record, reference: Record | None) -> float | None:
    return seconds(reference) / seconds(record) if reference and record["costs"] else None


OF_RECORD: dict[str, Callable[[Record, Record | None], float | None]] = {
    "average": average,
    "best": _best,
    "best-step": _best_step,
    "steps-to": _steps_to,
    "steps-to-best": _steps_to_best,
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
