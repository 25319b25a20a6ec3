"""Tables of pairs: overlap of the methods' choices, mean cosines of the gradients by groups of a column."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from learnalign.names import METHODS
from learnalign.report.alike import Alike
from learnalign.report.columns import Column
from learnalign.report.cosines import Cosines
from learnalign.report.examples import link
from learnalign.report.gather import Gathered
from learnalign.report.text import e, missing, number, percent, quoted, short, side_by_side, table
from learnalign.rundir import Label
from learnalign.selection.overlap import jaccard, share


def methods(data: Gathered, cosines: Cosines | None) -> str:
    """Overlap of the methods' choices."""
    rankings = data.rankings
    if len(rankings) < 2:
        return missing(
            "Only one method has chosen prompts." if rankings else "No method has chosen prompts yet.",
            f"learnalign compare {data.directory}",
        )
    names = list(rankings)
    about = [
        [
            e(name),
            e(METHODS.get(Label.parse(name).method, "")),
            f"{int(r.chosen.sum()):,}",
            _mean_rate(data, r.chosen),
        ]
        for name, r in rankings.items()
    ]
    tables = [table("Methods", ["method", "ranks by", "chosen", "mean p"], about, numeric=2)]
    for caption, measure in (
        ("Of the row's choice, the column's method chose", share),
        ("Chosen by both, of those chosen by either", jaccard),
    ):
        rows = [
            [e(name), *(heat(value, percent(value, 1)) for value in _values(rankings[name].chosen, data, measure))]
            for name in names
        ]
        tables.append(table(caption, ["", *names], rows))
    note = (
        "<p>The methods chose different numbers of prompts; <code>learnalign compare</code> compares them at one.</p>"
    )
    same = len({int(r.chosen.sum()) for r in rankings.values()}) == 1
    return f"{'' if same else note}{side_by_side(*tables)}"


def _values(own: np.ndarray, data: Gathered, measure: Callable[[np.ndarray, np.ndarray], float]) -> list[float]:
    return [measure(own, other.chosen) for other in data.rankings.values()]


def _mean_rate(data: Gathered, chosen: np.ndarray) -> str:
    return number(float(np.nanmean(data.success.rate[chosen]))) if data.success and chosen.any() else "–"


def heat(value: float, words: str, most: float = 1.0) -> str:
    """A cell whose ground is the darker, the nearer `value` is to `most`."""
    level = 0 if not value > 0 else min(9, int(10 * value / most)) if most > 0 else 0
    return f'<span class="heat h{level}">{words}</span>'


def group_cosines(data: Gathered, cosines: Cosines | None) -> str:
    """Mean cosines of the gradients by groups of a column."""
    if data.run.config.grad.projection == "exact":
        return missing("Exact gradients (grad.projection: exact) leave no features to take cosines of.")
    if cosines is None:
        return missing("No gradients yet.", f"learnalign grad {data.directory}")
    if cosines.gradients < 2:
        return missing("Only one prompt has a gradient: there is no pair to take a cosine of.")
    if not data.columns and cosines.alike is None:
        return missing(
            "The data has no column that sorts the prompts into few groups, and their gradients are too few for groups."
        )
    parts = [
        f"<p>Mean cosine of two prompts' gradients, over all pairs of {cosines.gradients:,} prompts that have one.</p>"
    ]
    parts += [_heat_map(f"By {each.name}", cosines, each.name, each.groups) for each in data.columns]
    return "".join(parts) + (_alike(data, cosines, cosines.alike) if cosines.alike else "")


def _heat_map(caption: str, cosines: Cosines, name: str | None, groups: list[str]) -> str:
    means, counts = cosines.means[name], cosines.counts[name]
    most = float(np.nanmax(means, initial=0.0))
    there = np.flatnonzero(counts)
    rows = [
        [
            f"{quoted(groups[i])} <small>({counts[i]:,})</small>",
            *(_cosine(value, most) for value in means[i, there].tolist()),
        ]
        for i in there.tolist()
    ]
    return table(caption, ["", *(short(groups[i]) for i in there)], rows)


def _alike(data: Gathered, cosines: Cosines, alike: Alike) -> str:
    """The pool by groups of alike gradients: how they agree, how many were chosen, what they hold."""
    names = [str(i + 1) for i in range(len(alike.typical))]
    column = data.columns[0] if data.columns else None
    rows = []
    for code, name in enumerate(names):
        own = alike.codes == code
        chosen = int((own & data.chosen).sum())
        held = [] if column is None else [_mostly(column, own)]
        rows.append(
            [
                name,
                link(data, alike.typical[code]),
                *held,
                number(int(own.sum())),
                number(chosen),
                _mean_rate(data, own),
            ]
        )
    heads = [
        "group",
        "most typical prompt",
        *([] if column is None else [f"mostly ({column.name})"]),
        "prompts",
        "chosen",
        "mean p",
    ]
    note = (
        f"<p>The same without a column: {len(names)} groups of prompts whose gradients are alike, neighbours side by side. They are "
        f"told apart by the {alike.directions} leading eigenvectors of the cosines, taken from {alike.landmarks:,} landmarks (Nyström), "
        f"which hold {percent(alike.within, 1)} of the gradients' squared length; the means are exact.</p>"
    )
    groups = table("Groups of alike gradients", heads, rows, numeric=2 if column is None else 3)
    return note + _heat_map("By similarity of the gradients", cosines, None, names) + groups


def _mostly(column: Column, own: np.ndarray) -> str:
    counts = np.bincount(column.codes[own], minlength=len(column.groups))
    return f"{quoted(column.groups[counts.argmax()], 40)} <small>({percent(counts.max(), counts.sum())})</small>"


def _cosine(value: float, most: float) -> str:
    return heat(value, "–" if np.isnan(value) else f"{round(value, 3) + 0.0:.3f}".replace("-", "−"), most)
