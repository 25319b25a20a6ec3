"""Plots as HTML files that hold all they need. Without plotly (the extra `report`) there is none, and no error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign.rundir.files import write_text

if TYPE_CHECKING:
    from learnalign.evaluation import Curves, Point
    from learnalign.selection import Norms

Line = dict[str, Any]  # plotly's scatter trace as it is in JSON

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def plot_curves(curves: Curves) -> Path | None:
    """Write accuracy over training steps, a line for each training, beside the table; None without plotly.

    With one test set the bars are 95 % intervals; with several the line is their mean, and each is a dotted line that the
    legend shows or hides.
    """
    lines: list[Line] = []
    for number, training in enumerate(dict.fromkeys(point.training for point in curves.points)):
        lines += _lines(curves.of(training), curves, COLOURS[number % len(COLOURS)])
    sets = ", ".join(f"{name} {metric}" for name, metric in curves.metrics.items())
    title = f"mean of {sets}" if len(curves.metrics) > 1 else sets
    return _write(curves.table.with_suffix(".html"), lines, title, x="training step", y="accuracy", y_format=".1%")


def plot_norms(norms: Norms) -> Path | None:
    """Write the norm of every prompt's gradient over its response length beside the table; None without plotly."""
    points = {
        "x": norms.tokens,
        "y": norms.norm,
        "text": norms.ids,
        "marker": {
            "color": norms.success_rate,
            "colorscale": "Viridis",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"title": {"text": "success rate"}},
        },
        "hovertemplate": "prompt %{text}<br>%{x:.4g} tokens, norm %{y:.4g}, p = %{marker.color:.2f}<extra></extra>",
    }
    rho = "undefined" if norms.spearman is None else f"{norms.spearman:.3f}"
    title = f"gradient norm by response length: {norms.prompts} prompts, Spearman's ρ = {rho}"
    x = "tokens of a rollout, mean over those whose gradients are taken"
    points |= {"type": "scatter", "mode": "markers"}
    return _write(norms.table.with_suffix(".html"), [points], title, x=x, y="norm of the gradient", log=True)


def _lines(points: list[Point], curves: Curves, colour: str) -> list[Line]:
    """A training's line; with several test sets also one for each of them."""
    name, steps = points[0].training, [point.step for point in points]
    style = {"type": "scatter", "mode": "lines+markers", "x": steps, "marker": {"color": colour}}
    line: Line = {**style, "name": name, "y": [point.value for point in points], "line": {"color": colour}}
    if len(curves.metrics) > 1:
        dotted = {"color": colour, "dash": "dot", "width": 1}
        return [line] + [
            {
                **style,
                "name": f"{name}, {label}",
                "y": [point.results[label].value for point in points],
                "line": dotted,
                "visible": "legendonly",
            }
            for label in curves.metrics
        ]
    (label,) = curves.metrics
    estimates = [point.results[label].metrics[curves.metrics[label]] for point in points]
    line["error_y"] = {
        "array": [each.high - each.value for each in estimates],
        "arrayminus": [each.value - each.low for each in estimates],
        "thickness": 1,
        "width": 3,
    }
    return [line]


def _write(
    path: Path, traces: list[Line], title: str, *, x: str, y: str, y_format: str = "", log: bool = False
) -> Path | None:
    try:
        import plotly.graph_objects as go
    except ImportError:
        return None
    scale = {"type": "log"} if log else {}
    layout = {
        "title": {"text": title},
        "template": "plotly_white",
        "xaxis": {"title": {"text": x}, **scale},
        "yaxis": {"title": {"text": y}, "tickformat": y_format, **scale},
        "showlegend": len(traces) > 1,
    }
    page = go.Figure(data=traces, layout=layout).to_html(include_plotlyjs=True, div_id="plot")
    write_text(path, page)
    return path
