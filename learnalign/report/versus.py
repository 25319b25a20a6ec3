"""Two runs side by side: p of the prompts that both have, overlap of the choices, settings that differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from learnalign.config import flatten
from learnalign.report.charts import rate_against, rate_parts
from learnalign.report.gather import Gathered
from learnalign.report.sections import link, missing
from learnalign.report.text import counted, e, number, percent, quoted, table

MOST_MOVED = 5


def versus(one: Gathered, other: Gathered) -> str:
    """The section; prompts are the same if their ids are."""
    shared = [id for id in one.places if id in other.places]
    places = np.array([one.places[id] for id in shared], int), np.array([other.places[id] for id in shared], int)
    parts = [f"<p>Compared with <code>{e(other.run.path)}</code>.</p>", _side_by_side(one, other)]
    if not shared:
        return "".join([*parts, missing("The two runs share no prompt (by id)."), _settings(one, other)])
    parts.append(f"<p>{counted(len(shared), 'shared prompt')}.</p>")
    return "".join([*parts, _overlap(one, other, places), _rates(one, other, places), _settings(one, other)])


def _side_by_side(one: Gathered, other: Gathered) -> str:
    facts: dict[str, Callable[[Gathered], str]] = {
        "prompts": lambda data: number(len(data.prompts)),
        "chosen": lambda data: number(int(data.chosen.sum())),
        "method": lambda data: e(data.ranking.method if data.ranking else "–"),
        "mean p": lambda data: _mean(data, np.ones(len(data.prompts), bool)),
        "mean p of the chosen": lambda data: _mean(data, data.chosen),
        "with V > 0": lambda data: number(int(data.learnable.sum())),
        "seconds": lambda data: number(sum(stage["seconds"] for stage in data.summary["stages"]), 4),
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
        ["both of either", percent(both, either)],
    ]
    return table("Choices among the shared prompts", ["", "prompts"], rows)


def _rates(one: Gathered, other: Gathered, places: tuple[np.ndarray, np.ndarray]) -> str:
    if one.success is None or other.success is None:
        return missing("One of the runs has no success rates yet.")
    a, b = one.success.rate[places[0]], other.success.rate[places[1]]
    known = np.flatnonzero(~np.isnan(a) & ~np.isnan(b))
    if not len(known):
        return missing("No shared prompt has a success rate in both runs.")
    moved = known[np.argsort(-np.abs(b[known] - a[known]), kind="stable")][:MOST_MOVED]
    rows = [
        [link(one, int(places[0][i])), number(float(a[i])), number(float(b[i])), f"{b[i] - a[i]:+.3g}"]
        for i in moved.tolist()
        if a[i] != b[i]
    ]
    names = (one.run.path.name or "here", other.run.path.name or "there")
    names = names if names[0] != names[1] else ("this run", "the other")
    chart = rate_against(a[known], b[known], names, (rate_parts(one.success), rate_parts(other.success)))
    change = f"<p>p changes by {float(np.mean(b[known] - a[known])):+.3g} on average from here to there.</p>"
    largest = table("The largest changes", ["prompt", "p here", "p there", "change"], rows) if rows else ""
    return chart + change + largest


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
