"""The plots of `eval --policy train/NAME@all` and `compare --norms`: pages of their own that hold all they need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from learnalign.report.page import fill
from learnalign.report.svg import Plot, axis, figure, series
from learnalign.report.text import e, number
from learnalign.rundir.files import write_text

if TYPE_CHECKING:
    from learnalign.evaluation import Curves, Point
    from learnalign.selection import Norms

QUARTERS = ["p < ¼", "¼ ≤ p < ½", "½ ≤ p < ¾", "¾ ≤ p"]


def plot_curves(curves: Curves) -> Path:
    """Write accuracy over training steps, a line for each training, beside the table.

    With several test sets the first plot is their mean, and each has one of its own; its bars are 95 % intervals.
    """
    single = len(curves.metrics) == 1
    title = "accuracy over training steps"
    mean = [] if single else [_curves(curves, None, f"mean of {', '.join(curves.metrics)}")]
    plots = mean + [_curves(curves, label, f"{label} {metric}") for label, metric in curves.metrics.items()]
    return _write(curves.table.with_suffix(".html"), title, "".join(plots))


def _curves(curves: Curves, label: str | None, title: str) -> str:
    """The curves on one test set, or their mean over all."""
    trainings = list(dict.fromkeys(point.training for point in curves.points))
    points = {name: curves.of(name) for name in trainings}
    bounds = [bound for own in points.values() for point in own for bound in _bounds(point, curves, label)]
    steps = [float(point.step) for point in curves.points]
    plot = Plot(axis("training step", steps, unit="count"), axis("accuracy", bounds, unit="percent"), title)
    for k, own in enumerate(points.values()):
        kind = series(k)
        values = [(float(point.step), _bounds(point, curves, label)) for point in own]
        plot.line([(step, value) for step, (_, value, _) in values], kind)
        for step, (low, value, high) in values:
            plot.line([(step, low), (step, high)], f"{kind} thin")
            plot.dot(step, value, f"{kind} picked", f"step {step:,.0f}: {100 * value:.1f} %", 3.5)
    return figure(plot.svg(), e(title), legend=[(series(k), name) for k, name in enumerate(trainings)])


def _bounds(point: Point, curves: Curves, label: str | None) -> tuple[float, float, float]:
    """Low, value, high; a mean over test sets has no interval."""
    if label is None:
        return point.value, point.value, point.value
    estimate = point.results[label].metrics[curves.metrics[label]]
    return estimate.low, estimate.value, estimate.high


def plot_norms(norms: Norms) -> Path:
    """Write the norm of every prompt's gradient over its response length beside the table."""
    x = axis("tokens of a rollout, mean over those whose gradients are taken", norms.tokens, log=True)
    rho = "undefined" if norms.spearman is None else f"{norms.spearman:.3f}"
    title = f"gradient norm by response length: {norms.prompts} prompts, Spearman's ρ = {rho}"
    plot = Plot(x, axis("norm of the gradient", norms.norm, log=True), title, height=330)
    for id, norm, tokens, rate in zip(norms.ids, norms.norm, norms.tokens, norms.success_rate, strict=True):
        tip = f"prompt {id}: {number(tokens)} tokens, norm {number(norm)}, p = {number(rate)}"
        plot.dot(tokens, norm, f"s{min(3, int(4 * rate))}", tip, 3)
    legend = [(f"s{k}", name) for k, name in enumerate(QUARTERS)]
    return _write(norms.table.with_suffix(".html"), title, figure(plot.svg(), e(title), legend=legend))


def _write(path: Path, title: str, body: str) -> Path:
    write_text(path, fill("plot.html", title=e(title), body=body))
    return path
