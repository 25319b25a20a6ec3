"""Two runs side by side: p of the prompts that both have, overlap of the choices, settings that differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from learnalign.config import flatten
from learnalign.errors import counted
from learnalign.progress import duration
from learnalign.report.charts import rate_against, rate_parts
from learnalign.report.examples import link
from learnalign.report.gather import Gathered
from learnalign.report.text import e, missing, number, percent, quoted, side_by_side, table

MOST_MOVED = 5


def versus(one: Gathered, other: Gathered) -> str:
    """The section; prompts are the same if their ids are."""
    shared = [id for id in one.places if id in other.places]
    places = np.array([one.places[id] for id in shared], int), np.array([other.places[id] for id in shared], int)
    head = f"<p>Beside <code>{e(other.run.path)}</code>: {counted(len(shared), 'shared prompt')} (by id).</p>"
    numbers, settings = _side_by_side(one, other), _settings(one, other)
    if not shared:
        return head + side_by_side(numbers, settings)
    chart, moved = _rates(one, other, places)
    return head + side_by_side(numbers + _overlap(one, other, places), chart, moved, settings)


def _side_by_side(one: Gathered, other: Gathered) -> str:
    facts: dict[str, Callable[[Gathered], str]] = {
        "prompts": lambda data: number(len(data.prompts)),
        "chosen": lambda data: number(int(data.chosen.sum())),
        "method": lambda data: e(data.ranking.method if data.ranking else "–"),
        "mean p": lambda data: _mean(data, np.ones(len(data.prompts), bool)),
        "mean p of the chosen": lambda data: _mean(data, data.chosen),
        "learnable (0 < p < 1)": lambda data: number(int(data.learnable.sum())),
        "time": lambda data: duration(sum(stage["seconds"] for stage in data.summary["stages"])),
    }
    rows = [[e(name), fact(one), fact(other)] for name, fact in facts.items()]
    return table("Side by side", ["", str(one.run.path), str(other.run.path)], rows)


def _mean(data: Gathered, part: np.ndarray) -> str:
    if data.success is None or not part.any() or np.isnan(data.success.rate[part]).all():
        return "–"
    return number(float(np.nanmean(data.success.rate[part])))


def _overlap(one: Gathered, other: Gathered, places: tuple[np.ndarray, np.ndarray]) -> str:
    if one.ranking is None or other.ranking is None:
        return missing("One of the runs has chosen no prompts yet.")
    a, b = one.chosen[places[0]], other.chosen[places[1]]
    both, either = int((a & b).sum()), int((a | b).sum())
    rows = [
        ["chosen in both", f"{both:,}"],
        ["only here", f"{int((a & ~b).sum()):,}"],
        ["only there", f"{int((b & ~a).sum()):,}"],
        ["in both, of all chosen", percent(both, either)],
    ]
    return table("Choices among the shared prompts", ["", "prompts"], rows)


def _rates(one: Gathered, other: Gathered, places: tuple[np.ndarray, np.ndarray]) -> tuple[str, str]:
    """The plot, and the prompts whose p differs most."""
    if one.success is None or other.success is None:
        return missing("One of the runs has no success rates yet."), ""
    a, b = one.success.rate[places[0]], other.success.rate[places[1]]
    known = np.flatnonzero(~np.isnan(a) & ~np.isnan(b))
    if not len(known):
        return missing("No shared prompt has a success rate in both runs."), ""
    moved = known[np.argsort(-np.abs(b[known] - a[known]), kind="stable")][:MOST_MOVED]
    rows = [
        [link(one, int(places[0][i])), number(float(a[i])), number(float(b[i])), _change(b[i] - a[i])]
        for i in moved.tolist()
        if a[i] != b[i]
    ]
    names = (one.run.path.name or "here", other.run.path.name or "there")
    names = names if names[0] != names[1] else ("this run", "the other")
    chart = rate_against(a[known], b[known], names, (rate_parts(one.success), rate_parts(other.success)))
    change = f"<p>p changes by {_change(float(np.mean(b[known] - a[known])))} on average from here to there.</p>"
    return chart + change, table("The largest changes", ["prompt", "p here", "p there", "change"], rows) if rows else ""


def _change(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"


def _settings(one: Gathered, other: Gathered) -> str:
    a, b = (flatten(data.run.config.model_dump(mode="json")) for data in (one, other))
    rows = [
        [e(key), quoted(str(a.get(key)), 200), quoted(str(b.get(key)), 200)]
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]
    if not rows:
        return "<p>All settings are the same.</p>"
    return table("Settings that differ", ["setting", "here", "there"], rows, numeric=9)
