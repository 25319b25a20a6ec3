"""The report's sections in the order of the page: each is HTML, and says so if the run lacks what it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from learnalign.errors import counted
from learnalign.progress import duration
from learnalign.prompts import reason_counts
from learnalign.report.charts import (
    kept_histogram,
    rate_histogram,
    rate_parts,
    score_scatter,
    share_bars,
    share_table,
    training_line,
)
from learnalign.report.columns import shares
from learnalign.report.cosines import Cosines
from learnalign.report.examples import completions, link
from learnalign.report.gather import Gathered
from learnalign.report.matrices import group_cosines, methods
from learnalign.report.text import e, missing, number, percent, quoted, side_by_side, table

Section = Callable[[Gathered, Cosines | None], str]
SURE = 4


def difficulty(data: Gathered, cosines: Cosines | None) -> str:
    """Histogram of p."""
    if data.success is None:
        return missing("No success rates yet.", f"learnalign rollout {data.directory}")
    unscored = int(np.isnan(data.success.rate).sum())
    note = f"<p>{counted(unscored, 'prompt')} without a scored rollout.</p>" if unscored else ""
    return rate_histogram(data.success, data.chosen, rate_parts(data.success)) + note


def scores(data: Gathered, cosines: Cosines | None) -> str:
    """Score against p."""
    if data.ranking is None:
        return missing("Nothing is selected yet.", f"learnalign select {data.directory}")
    if data.success is None:
        return missing("No success rates: the method needed none.")
    if not data.chosen.any() or np.isnan(data.ranking.score[data.chosen]).any():
        return missing(f"Method {data.ranking.method} has no score for every prompt that it chose.")
    return score_scatter(data, data.success, data.ranking, rate_parts(data.success))


def share_of_columns(data: Gathered, cosines: Cosines | None) -> str:
    """Chosen share by column of the data."""
    if data.ranking is None:
        return missing("Nothing is selected yet.", f"learnalign select {data.directory}")
    if not data.columns:
        return missing("The data has no column that sorts the prompts into few groups (2 to 30 short values).")
    rows = [(column, shares(column, data.learnable, data.chosen)) for column in data.columns]
    if len(rows) == 1:
        return side_by_side(share_bars(*rows[0]), share_table(*rows[0]))
    return side_by_side(*(share_bars(column, own, share_table(column, own)) for column, own in rows))


def certainty(data: Gathered, cosines: Cosines | None) -> str:
    """Sure and unsure picks."""
    if data.ranking is None:
        return missing("Nothing is selected yet.", f"learnalign select {data.directory}")
    kept = data.ranking.kept
    known = np.flatnonzero(~np.isnan(kept))
    if not len(known):
        return missing(f"Method {data.ranking.method} stores no certainty; learnalign with projected gradients does.")
    best = known[np.lexsort((data.ranking.rank[known], -kept[known]))]
    some = min(SURE, len(known) // 2)
    parts = [("The surest", best[:some]), ("The least sure", best[len(best) - some :])] if some else []
    lists = "".join(
        table(title, ["prompt", "chosen again", "p", "rank"], [_sure(data, place) for place in places.tolist()])
        for title, places in parts
    )
    words = data.summary["stability"].get(data.ranking.method, "")
    words = f"<p>{e(words[:1].upper() + words[1:])}.</p>" if words else ""
    return words + side_by_side(kept_histogram(kept[known]), lists)


def _sure(data: Gathered, place: int) -> list[str]:
    assert data.ranking is not None
    rate = float(data.success.rate[place]) if data.success else None
    return [
        link(data, place, 60),
        percent(data.ranking.kept[place], 1),
        number(rate),
        number(int(data.ranking.rank[place])),
    ]


def warmup(data: Gathered, cosines: Cosines | None) -> str:
    """Reward and KL of the warmup."""
    if data.run.config.warmup.size == 0:
        return missing("This run has no warmup (warmup.size: 0): the policy is the model as it is.")
    if not data.metrics:
        return missing("No warmup yet.", f"learnalign warmup {data.directory}")
    lines = [training_line(data.metrics, "reward", "mean reward"), training_line(data.metrics, "kl", "KL")]
    return side_by_side(*lines)


def left_out(data: Gathered, cosines: Cosines | None) -> str:
    """Quarantine by stage and reason, and what could not be chosen."""
    lines = data.run.quarantined()
    stages = dict.fromkeys(line["stage"] for line in lines)
    rows = [
        [e(reason), e(stage), f"{count:,}"]
        for stage in stages
        for reason, count in reason_counts([line for line in lines if line["stage"] == stage]).items()
    ]
    quarantine = f"<p>No row was left out{'' if data.ranking else ' so far'}.</p>"
    if rows:
        quarantine = table("Left out of the pool or of a stage", ["reason", "stage", "prompts"], rows, numeric=2)
        quarantine += f"<p>Line by line: <code>{e(data.run.quarantine_file)}</code></p>"
    return side_by_side(quarantine, _skipped(data))


def _skipped(data: Gathered) -> str:
    if data.ranking is None:
        return ""
    counts = Counter(reason for reason in data.ranking.skipped if reason).most_common()
    cells = [[e(reason), f"{count:,}"] for reason, count in counts]
    return table(f"Could not be chosen by {data.ranking.method}", ["reason", "prompts"], cells) if cells else ""


def cost(data: Gathered, cosines: Cosines | None) -> str:
    """Time by the clock and of the CPUs, tokens and memory by stage."""
    if not data.summary["stages"]:
        return missing("No stage has run yet.")
    rows = []
    for stage in data.summary["stages"]:
        tokens = stage["counts"].get("tokens")
        rate = tokens / stage["seconds"] if tokens and stage["seconds"] else None
        words = [
            e(stage["stage"]),
            e(stage["status"]),
            e(stage["time"]),
            e(stage["cpu_time"] or "–"),
            number(tokens),
            number(rate),
            number(stage["memory"]),
        ]
        rows.append(words)
    total = sum(stage["seconds"] for stage in data.summary["stages"])
    return table(
        "", ["stage", "status", "time", "CPU time", "tokens", "tokens/s", "peak memory (GB)"], rows, numeric=2
    ) + (f"<p>In all {e(duration(total))}.</p>")


def settings(data: Gathered, cosines: Cosines | None) -> str:
    """Settings, versions, hardware."""
    from learnalign.config import flatten

    flat = flatten(data.run.config.model_dump(mode="json"))
    rows = [[e(key), quoted(str(value), 300)] for key, value in flat.items() if value is not None]
    more = [
        ["created", e(data.record.get("created", "–"))],
        *([e(name), e(version)] for name, version in data.record.get("versions", {}).items()),
        *([e(name), e(value)] for name, value in data.record.get("machine", {}).items()),
        *([f"digest of the {e(name)}", e(digest)] for name, digest in data.record.get("inputs", {}).items()),
    ]
    return (
        table("", ["made with", ""], more, numeric=9)
        + f"<details><summary>All {len(rows)} settings</summary>{table('', ['setting', 'value'], rows, numeric=9)}</details>"
    )


# By id: the word in the page's navigation, the title, what makes the section.
SECTIONS: dict[str, tuple[str, str, Section]] = {
    "difficulty": ("Difficulty", "How hard the pool is", difficulty),
    "scores": ("Score", "What the score rewards", scores),
    "shares": ("Shares", "What was chosen, by column of the data", share_of_columns),
    "certainty": ("Certainty", "Sure and unsure picks", certainty),
    "completions": ("Completions", "Completions to look at", completions),
    "warmup": ("Warmup", "Warmup", warmup),
    "left-out": ("Left out", "Left out", left_out),
    "methods": ("Methods", "Methods side by side", methods),
    "cosines": ("Cosines", "Which prompts pull in the same direction", group_cosines),
    "cost": ("Cost", "Time, tokens, memory", cost),
    "settings": ("Settings", "Settings and versions", settings),
}
