"""The page of `paper`: the table with the paper's numbers, differences between arms, accuracy over steps and compute, the choices."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from learnalign.papers.cells import Cell
from learnalign.papers.contrasts import Contrast
from learnalign.papers.measures import Entry, average, curve, last, seconds, standard_error
from learnalign.papers.results import Record, Results
from learnalign.papers.table import Table, size_text
from learnalign.report.page import fill
from learnalign.report.svg import SERIES, TELLABLE, Plot, axis, figure, series
from learnalign.report.text import e, number, side_by_side, table
from learnalign.rundir.files import write_text

Rows = dict[tuple[str, str, str], list[Record]]  # of the seeds of a panel's arm at a size


def write_page(
    path: Path,
    shown: Table,
    cells: Sequence[Cell],
    results: Results,
    found: Sequence[Entry],
    compared: Sequence[Contrast],
) -> Path:
    """Write the page of a table whose cells have results; panels without any are left out."""
    parts = [f"<h1>{e(shown.title)}</h1>", *(f"<p>{e(note)}</p>" for note in shown.notes)]
    records: Rows = {}
    for cell in cells:
        if record := results.of(cell):
            records.setdefault((cell.panel, cell.name, size_text(cell.size)), []).append(record)
    for panel in shown.panels:
        own = {(arm, size): rows for (where, arm, size), rows in records.items() if where == panel}
        if not own:
            continue
        parts += [
            f"<h2>{e(shown.panel_label(panel))}</h2>",
            _numbers([entry for entry in found if entry.panel == panel], shown),
        ]
        parts.append(side_by_side(_over_steps(own, shown), _over_compute(own, shown)))
        parts += [_by_columns(own, shown), _choices(own, shown)]
    if compared:
        parts += ["<h2>Differences, paired by seed</h2>", _contrasts(compared, shown)]
    write_text(path, fill("plot.html", title=e(shown.title), body="".join(parts)))
    return path


def _name(arm: str, size: str, shown: Table) -> str:
    label = shown.arm_label(arm)
    return f"{label}, {size}" if size else label


def _numbers(found: Sequence[Entry], shown: Table) -> str:
    """Means over seeds, and if the paper has numbers, they and the differences."""
    with_paper = any(entry.published is not None for entry in found)
    rows: dict[tuple[str, ...], None] = {}  # an arm without a size has one row, not one for each size
    for entry in found:
        if entry.values:
            name = _name(entry.arm, size_text(entry.size) if shown.arms[entry.arm].chooses else "", shown)
            numbers = [number(entry.mean), number(entry.standard_error), str(len(entry.values))]
            numbers += [number(entry.published), number(entry.difference)] if with_paper else []
            rows[e(name), e(entry.test or entry.measure), *numbers] = None
    columns = ["", "measure", "mean", "standard error", "seeds", *(["paper", "difference"] if with_paper else [])]
    return table("", columns, [list(row) for row in rows], numeric=2)


def _contrasts(compared: Sequence[Contrast], shown: Table) -> str:
    rows = []
    for each in compared:
        size = size_text(each.size)
        what = f"{_name(each.arm, size, shown)} − {_name(each.against, size, shown)}" + (
            " (primary)" if each.primary else ""
        )
        numbers = [number(each.difference), number(each.low), number(each.high), number(each.adjusted), str(each.seeds)]
        rows.append([e(what), e(shown.panel_label(each.panel)), *numbers])
    columns = ["difference", "panel", "mean", "95 % from", "to", "p after Holm", "seeds"]
    return table("", columns, rows, numeric=2)


def _over_steps(own: Mapping[tuple[str, str], list[Record]], shown: Table) -> str:
    """Mean accuracy after so many steps of the first arms that are trained."""
    trained = {key: rows for key, rows in own.items() if "training" in rows[0]}
    lines = {_name(*key, shown): _mean_curve(rows) for key, rows in [*trained.items()][:TELLABLE]}
    if not lines:
        return ""
    points = [point for line in lines.values() for point in line]
    title = "accuracy over training steps"
    plot = Plot(
        axis("training step", [x for x, _, _ in points], unit="count"),
        axis("accuracy", [y + sign * error for _, y, error in points for sign in (-1, 1)], unit="percent"),
        title,
    )
    for k, line in enumerate(lines.values()):
        kind = series(k)
        plot.line([(x, y) for x, y, _ in line], kind)
        for x, y, error in line:
            plot.line([(x, y - error), (x, y + error)], f"{kind} thin")
            plot.dot(x, y, f"{kind} picked", f"step {x:,.0f}: {100 * y:.1f} %", 3.5)
    caption = "accuracy over training steps; bars are standard errors over seeds"
    if len(trained) > len(lines):
        caption += f"; the first {len(lines)} of {len(trained)} arms and sizes"
    return figure(plot.svg(), caption, legend=_legend(lines))


def _mean_curve(rows: Sequence[Record]) -> list[tuple[float, float, float]]:
    """(step, mean, standard error), by the place of each evaluation; steps may differ between seeds."""
    curves = [sorted(curve(row).items()) for row in rows]
    return [
        (statistics.fmean(step for step, _ in points), *_mean([value for _, value in points]))
        for points in zip(*curves, strict=False)
    ]


def _mean(values: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(values), standard_error(values) or 0.0


def _over_compute(own: Mapping[tuple[str, str], list[Record]], shown: Table) -> str:
    """Last accuracy over the CPU seconds of selection and training."""
    points = {
        _name(*key, shown): (
            statistics.fmean(seconds(row, kind="cpu_seconds") for row in rows),
            *_mean([average(row) for row in rows]),
        )
        for key, rows in own.items()
        if "training" in rows[0]
    }
    if not points:
        return ""
    title = "accuracy over all compute"
    plot = Plot(
        axis("CPU seconds of selection and training", [x for x, _, _ in points.values()]),
        axis("accuracy", [y + sign * error for _, y, error in points.values() for sign in (-1, 1)], unit="percent"),
        title,
    )
    if numbered := len(points) > SERIES:
        points = {f"{k} {name}": point for k, (name, point) in enumerate(points.items(), 1)}
    for k, (name, (x, y, error)) in enumerate(points.items()):
        kind = series(k)
        plot.line([(x, y - error), (x, y + error)], f"{kind} thin")
        plot.dot(x, y, f"{kind} picked", f"{name}: {x:,.0f} s, {100 * y:.1f} %", 3.5)
        if numbered:
            plot.text(x, y, str(k + 1))
    rows = [[e(name), number(x), number(100 * y), number(100 * error)] for name, (x, y, error) in points.items()]
    numbers = table("", ["", "CPU seconds", "accuracy, %", "standard error"], rows)
    return figure(plot.svg(), "accuracy over the compute of selection and training", numbers, legend=_legend(points))


def _legend(names: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(series(k), name) for k, name in enumerate(names)]


def _by_columns(own: Mapping[tuple[str, str], list[Record]], shown: Table) -> str:
    """Last accuracy by the values of the first test's first column."""

    tests = [(test, steps) for rows in own.values() for test, steps in rows[0]["accuracy"].items()]
    if not tests or not (columns := last(tests[0][1])["columns"]):
        return ""
    test, column = tests[0][0], next(iter(columns))

    def parts(record: Record) -> dict[str, float]:
        of_test = last(record["accuracy"][test])["columns"] if test in record["accuracy"] else {}
        return {kind: 100 * value for kind, value in of_test.get(column, {}).items() if value is not None}

    return _table_of(own, shown, f"accuracy on {test} by {column}, %", parts)


def _choices(own: Mapping[tuple[str, str], list[Record]], shown: Table) -> str:
    """What was chosen and how its training went."""

    def facts(record: Record) -> dict[str, float]:
        chosen, training = record.get("chosen"), record.get("training", {})
        found = {"prompts": chosen, "success rate p": record.get("success_rate"), "steps": training.get("steps")}
        found |= {"groups with spread, %": 100 * training["spread"]} if "spread" in training else {}
        found |= dict(zip(("reward, first quarter", "last quarter"), training.get("reward", ()), strict=False))
        for column, value, _, _, count in record.get("shares", ()):
            found[f"{column} {value}, %"] = 100 * count / chosen if chosen else None
        return {name: value for name, value in found.items() if value is not None}

    return _table_of(own, shown, "what was chosen, and how its training went", facts)


def _table_of(
    own: Mapping[tuple[str, str], list[Record]],
    shown: Table,
    caption: str,
    facts: Callable[[Record], Mapping[str, float]],
) -> str:
    """Means over seeds of named numbers, an arm a row."""
    every = {_name(*key, shown): [facts(record) for record in records] for key, records in own.items()}
    rows = {name: found for name, found in every.items() if any(found)}
    columns = list(dict.fromkeys(name for found in rows.values() for each in found for name in each))
    if not columns:
        return ""
    body = []
    for name, found in rows.items():
        values = [[each[column] for each in found if column in each] for column in columns]
        body.append([e(name), *(number(statistics.fmean(each)) if each else "–" for each in values)])
    return table(caption, ["", *columns], body)
