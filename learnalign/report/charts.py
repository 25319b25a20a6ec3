"""The report's plots: histogram of p, score against p, shares, certainty, warmup, two runs' p."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from learnalign.errors import counted
from learnalign.report.columns import Column, Share
from learnalign.report.gather import Gathered, Ranking, Success
from learnalign.report.svg import WIDTH, Axis, Plot, axis, figure, legend_of
from learnalign.report.text import e, number, percent, quoted, short, table

MOST_DOTS = 2000
MOST_STEPS = 200
POOL = [("pool", "pool"), ("chosen", "chosen")]


def rate_parts(success: Success) -> int:
    """k of the bins 0/k … k/k of p: the size of the groups, tenths of large ones."""
    group = int(np.nanmax(success.scored, initial=1))
    return group if 1 <= group <= 16 else 10


def rate_histogram(success: Success, chosen: np.ndarray, parts: int) -> str:
    """Prompts by p, the chosen over the pool."""
    known = ~np.isnan(success.rate)
    bins = np.rint(np.where(known, success.rate, 0) * parts).astype(int)
    pool = np.bincount(bins[known], minlength=parts + 1)
    own = np.bincount(bins[known & chosen], minlength=parts + 1)
    labels = Axis("success rate p", -0.6 / parts, 1 + 0.6 / parts, at=[k / parts for k in range(parts + 1)])
    if parts > 8:
        labels = Axis(labels.label, labels.low, labels.high, at=[0, 0.25, 0.5, 0.75, 1])
    highest = axis("prompts", pool.tolist(), zero=True, unit="count")
    plot = Plot(labels, highest, "Prompts by success rate, the chosen over the pool")
    for k, (every, some) in enumerate(zip(pool, own, strict=True)):
        left, right = (k - 0.42) / parts, (k + 0.42) / parts
        tip = f"p = {k}/{parts}: {counted(int(every), 'prompt')}, {some:,} chosen"
        plot.bar(left, right, every, "pool", tip)
        plot.bar(left, right, some, "chosen", tip)
        if every:
            plot.text(k / parts, every, f"{every:,}", "count")
    rows = [[f"{k}/{parts}", f"{pool[k]:,}", f"{own[k]:,}", percent(own[k], pool[k])] for k in range(parts + 1)]
    numbers = table("", ["p", "prompts", "chosen", "chosen of these"], rows)
    out = int(pool[0] + pool[-1])
    caption = (
        f"Of {counted(int(pool.sum()), 'prompt')}, {out:,} {'is' if out == 1 else 'are'} never or always solved: every rollout "
        "earns the same reward, so there is nothing to learn from."
    )
    return figure(plot.svg(), caption, numbers, POOL if own.sum() else POOL[:1])


def score_scatter(data: Gathered, success: Success, ranking: Ranking, parts: int) -> str:
    """Score against p with the cut, each dot coloured by the group of a column of the data."""
    known = np.flatnonzero(~np.isnan(success.rate) & ~np.isnan(ranking.score))
    drawn = _sample(known, ranking.chosen)
    x = Axis("success rate p", -0.07, 1.07, at=[0, 0.25, 0.5, 0.75, 1])
    plot = Plot(
        x, axis("score", ranking.score[drawn].tolist(), zero=True), "Score against success rate, by prompt", height=330
    )
    cut = float(ranking.score[ranking.chosen].min())
    spread = np.random.default_rng(0).uniform(
        -0.3 / parts, 0.3 / parts, len(drawn)
    )  # rates of a group fall on few values
    for place, shift in zip(drawn.tolist(), spread.tolist(), strict=True):
        groups = " ".join(str(int(column.codes[place])) for column in data.columns)
        kind = f"s{groups.split()[0]}" if groups else "pool"
        tip = f"{data.prompts[place].id}: p = {number(float(success.rate[place]))}, score {number(float(ranking.score[place]))}"
        picked = bool(ranking.chosen[place])
        more = f' data-groups="{groups}"' if groups else ""
        plot.dot(
            success.rate[place] + shift,
            ranking.score[place],
            f"{kind}{' picked' if picked else ''}",
            tip,
            4 if picked else 2.6,
            more,
        )
    plot.line([(x.low, cut), (x.high, cut)], "cut", f"the lowest score chosen: {number(cut)}")
    caption = f"Full dots are chosen; the dashed line is the lowest score chosen, {number(cut)}. Dots are spread a little sideways."
    if len(drawn) < len(known):
        caption += f" {len(drawn):,} of {len(known):,} prompts are drawn."
    return _colour_choice(data.columns) + figure(plot.svg(), caption)


def _sample(known: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """At most 2,000 places: the chosen, up to half of them, and some of the others."""
    rng = np.random.default_rng(0)
    groups = [known[chosen[known]], known[~chosen[known]]]
    room = [max(MOST_DOTS // 2, MOST_DOTS - len(groups[1])), max(MOST_DOTS // 2, MOST_DOTS - len(groups[0]))]
    parts = [g if len(g) <= r else np.sort(rng.choice(g, r, replace=False)) for g, r in zip(groups, room, strict=True)]
    return np.concatenate(parts[::-1])  # the chosen are drawn over the others


def _colour_choice(columns: Sequence[Column]) -> str:
    if not columns:
        return ""
    options = "".join(f'<option value="{i}">{e(column.name)}</option>' for i, column in enumerate(columns))
    legends = "".join(
        legend_of(
            [(f"s{k}", group) for k, group in enumerate(column.groups)], f' data-column="{i}"{" hidden" if i else ""}'
        )
        for i, column in enumerate(columns)
    )
    return f'<p class="choice"><label>Colour by <select id="colour">{options}</select></label></p>{legends}'


def share_bars(column: Column, rows: Sequence[Share], numbers: str = "") -> str:
    """Share of the pool and of the chosen, by group; `numbers` is a table to open."""
    pool, chosen = sum(row.pool for row in rows), max(1, sum(row.chosen for row in rows))
    most = max(max(row.pool / pool, row.chosen / chosen) for row in rows)
    height, left, right = 34 * len(rows) + 4, 150, WIDTH - 120
    marks = []
    for i, row in enumerate(rows):
        y = 34 * i + 4
        marks.append(f'<text class="yt" x="{left - 8}" y="{y + 17}">{e(short(row.group))}</text>')
        for k, (kind, part) in enumerate((("pool", row.pool / pool), ("chosen", row.chosen / chosen))):
            width = part / most * (right - left)
            marks.append(f'<rect class="{kind}" x="{left}" y="{y + 13 * k}" width="{width:.1f}" height="12"/>')
        words = f"{percent(row.pool, pool)} → {percent(row.chosen, chosen)}"
        marks.append(f'<text class="count left" x="{right + 8}" y="{y + 17}">{words}</text>')
    title = f"<title>Share of the pool and of the chosen by {e(column.name)}</title>"
    svg = f'<svg role="img" viewBox="0 0 {WIDTH} {height}">{title}{"".join(marks)}</svg>'
    caption = f"By <bdi>{e(column.name)}</bdi>: share of the pool → share of the chosen."
    return figure(svg, caption, numbers, POOL)


def share_table(column: Column, rows: Sequence[Share]) -> str:
    """The numbers behind `share_bars`."""
    cells = [
        [quoted(r.group), f"{r.pool:,}", f"{r.learnable:,}", f"{r.chosen:,}", percent(r.chosen, r.learnable)]
        for r in rows
    ]
    words = "Learnable: solved sometimes, 0 < p < 1. Of the others every rollout earns the same reward, so V = p(1 − p) is 0."
    return (
        table("", [column.name, "pool", "learnable", "chosen", "of the learnable"], cells)
        + f'<p class="small">{e(words)}</p>'
    )


def kept_histogram(kept: np.ndarray) -> str:
    """How often the chosen are chosen again when p is drawn from its posterior."""
    tenths = np.minimum((kept * 10 + 1e-9).astype(int), 9)
    counts = np.bincount(tenths, minlength=10)
    x = Axis("share of resamples that choose the prompt again", 0, 1, at=[0, 0.2, 0.4, 0.6, 0.8, 1], unit="percent")
    plot = Plot(
        x, axis("chosen prompts", counts.tolist(), zero=True, unit="count"), "Chosen prompts by certainty", height=230
    )
    for k, count in enumerate(counts):
        tip = f"{10 * k} to {10 * k + 10} %: {counted(int(count), 'prompt')}"
        plot.bar(k / 10 + 0.006, (k + 1) / 10 - 0.006, count, "chosen", tip)
    rows = [[f"{10 * k} to {10 * k + 10} %", f"{count:,}"] for k, count in enumerate(counts)]
    return figure(plot.svg(), "To the right: sure picks.", table("", ["chosen again in", "prompts"], rows))


def training_line(rows: Sequence[dict[str, Any]], key: str, label: str) -> str:
    """A metric of the warmup over its steps; means of neighbours if there are many."""
    points = [(float(row["step"]), float(row[key])) for row in rows if math.isfinite(row.get(key, math.nan))]
    if not points:
        return ""
    thick = math.ceil(len(points) / MOST_STEPS)
    groups = [np.mean(points[i : i + thick], axis=0).tolist() for i in range(0, len(points), thick)]
    x = axis("step", [x for x, _ in groups], unit="count")
    plot = Plot(x, axis(label, [y for _, y in groups], zero=True), f"{label} over the warmup's steps", height=230)
    plot.line([(a, b) for a, b in groups], "s0")
    first, last = (
        np.mean([y for _, y in part])
        for part in (points[: max(1, len(points) // 5)], points[-max(1, len(points) // 5) :])
    )
    caption = f"{label}: {number(float(first))} in the first fifth of the steps, {number(float(last))} in the last."
    return figure(plot.svg(), caption)


def rate_against(one: np.ndarray, other: np.ndarray, names: tuple[str, str], parts: tuple[int, int]) -> str:
    """p of the prompts that two runs share: a dot's area is its number of prompts."""
    pairs = Counter((int(a), int(b)) for a, b in zip(np.rint(one * parts[0]), np.rint(other * parts[1]), strict=True))
    ticks = [0, 0.25, 0.5, 0.75, 1]
    x, y = (Axis(f"p in {name}", -0.08, 1.08, at=ticks) for name in names)
    plot = Plot(x, y, "Success rates of the shared prompts in both runs", height=360)
    plot.line([(0, 0), (1, 1)], "cut")
    most = max(pairs.values())
    for (a, b), count in pairs.items():
        tip = f"p = {a}/{parts[0]} and {b}/{parts[1]}: {counted(count, 'prompt')}"
        plot.dot(a / parts[0], b / parts[1], "s0 bubble", tip, 2 + 14 * math.sqrt(count / most))
    return figure(plot.svg(), "A dot's area is its number of prompts; on the dashed line both runs agree.")
