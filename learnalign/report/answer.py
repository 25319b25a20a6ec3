"""The top of the page: how many prompts of how many, where they are, what to do next, what to look at."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import numpy as np

from learnalign.errors import InputError, counted
from learnalign.names import METHODS
from learnalign.progress import duration
from learnalign.report.columns import shares
from learnalign.report.gather import Gathered
from learnalign.report.text import e, number, percent
from learnalign.rollouts.first_look import look_at_first
from learnalign.rundir import Label

TWICE = 1.5  # a group's share among the chosen over that in the pool, worth a word
FEW = 0.1  # share of the pool that a group must have among the chosen to be named
MOSTLY = 0.5
NAMED = 5  # missing files


def answer(data: Gathered) -> str:
    """The section."""
    return f"{_headline(data)}{_facts(data)}{_notes(data)}{_next(data)}"


def _headline(data: Gathered) -> str:
    n = len(data.prompts)
    if data.ranking is None:
        return f'<p class="headline"><b>{n:,}</b> prompts, none chosen yet</p>'
    method = data.ranking.method
    words = METHODS.get(Label.parse(method).method, "")
    subset = data.run.subset_file(method)
    return (
        f'<p class="headline"><b>{int(data.chosen.sum()):,}</b> of <b>{n:,}</b> prompts chosen</p>'
        f"<p>by method <b>{e(method)}</b>{f' ({e(words)})' if words else ''}, best first in</p>{_code(str(subset))}"
    )


def _facts(data: Gathered) -> str:
    facts: dict[str, str] = {}
    if data.success is not None and not np.isnan(data.success.rate).all():
        facts["mean success rate"] = number(float(np.nanmean(data.success.rate)))
        if data.chosen.any() and not np.isnan(data.success.rate[data.chosen]).all():
            facts["of the chosen"] = number(float(np.nanmean(data.success.rate[data.chosen])))
        facts["learnable (0 < p < 1)"] = percent(int(data.learnable.sum()), len(data.prompts))
    if data.prompts and data.lengths.completions.any():
        facts["completions cut off"] = percent(int(data.lengths.cut.sum()), int(data.lengths.completions.sum()))
    if data.summary["stages"]:
        facts["for all stages"] = duration(sum(stage["seconds"] for stage in data.summary["stages"]))
    items = "".join(f"<div><dt>{e(name)}</dt><dd>{e(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>' if facts else ""


def _notes(data: Gathered) -> str:
    notes = "".join(f"<li>{note}</li>" for note in notes_of(data))
    return f'<h3>Look at this first</h3><ul class="notes">{notes}</ul>' if notes else ""


def notes_of(data: Gathered) -> Iterator[str]:
    """Sentences (HTML) on what in this run deserves a look."""
    rounds = sorted(path.parent for path in data.run.path.glob("stage-*/run.json"))
    for path in rounds:
        yield f"A round of this run: <code>learnalign report {e(shlex.quote(str(path)))}</code>"
    for stale in data.summary["stale"]:
        yield f"Made with other settings than config.yaml has now: {e(stale)}."
    if data.missing:
        yield f"{e(missing_files(data))}."
    unfinished = [f"{s['stage']} ({s['status']})" for s in data.summary["stages"] if s["status"] != "done"]
    if unfinished:
        yield f"Not finished: {e(', '.join(unfinished))}."
    if data.success is None and data.prompts and (reason := _stopped_by(data)):
        yield e(reason)
    yield from _rate_notes(data)
    if data.ranking is None:
        return
    entry = data.record["stages"].get("select", {}).get("methods", {}).get(data.ranking.method, {})
    if (size := entry.get("size")) and data.chosen.sum() < size:
        yield f"{counted(int(data.chosen.sum()), 'prompt')} of {size:,} asked for: no other has a positive score."
    yield from _group_notes(data)


def missing_files(data: Gathered) -> str:
    """The sentence on files that are not there, with the way out."""
    named, more = [str(data.run.path / file) for file in data.missing[:NAMED]], len(data.missing) - NAMED
    named += [f"{more:,} more"] if more > 0 else []
    verb, them = ("is", "it") if len(data.missing) == 1 else ("are", "them")
    repair = f"`learnalign status {data.directory} --repair` makes {them} again"
    return f"{' and '.join(named)} {verb} missing, and so is what this page would show of {them}: {repair}"


def _stopped_by(data: Gathered) -> str | None:
    """What the first rollouts say against drawing the others."""
    try:
        look_at_first(data.run)
    except InputError as error:
        return str(error)
    return None


def _rate_notes(data: Gathered) -> Iterator[str]:
    if data.success is None:
        return
    n, rate = len(data.prompts), data.success.rate
    never, always = int((rate == 0).sum()), int((rate == 1).sum())
    if never > MOSTLY * n:
        yield (
            f"{percent(never, n)} are never solved. If that surprises you, look at the completions below: gold column, "
            "verifier, prompt template, completion length."
        )
    if always > MOSTLY * n:
        yield f"{percent(always, n)} are always solved: harder prompts would teach this model more."
    if unscored := int((data.success.samples - data.success.scored > 0).sum()):
        yield f"{counted(unscored, 'prompt')} with rollouts that could not be scored."


def _group_notes(data: Gathered) -> Iterator[str]:
    pool, chosen = len(data.prompts), int(data.chosen.sum())
    for column in data.columns:
        for row in shares(column, data.learnable, data.chosen):
            if row.chosen / max(1, chosen) >= max(FEW, TWICE * row.pool / pool):
                yield (
                    f"<bdi>{e(column.name)}</bdi> <b><bdi>{e(row.group)}</bdi></b> is {percent(row.chosen, chosen)} of the chosen, but "
                    f"{percent(row.pool, pool)} of the pool ({row.chosen:,} of its {row.pool:,} prompts)."
                )


def _next(data: Gathered) -> str:
    run = data.directory
    if data.ranking is None:
        commands = {"go on with the run": f"learnalign run {run}"}
    else:
        subset = shlex.quote(str(data.run.subset_file(data.ranking.method)))
        commands = {
            "write the subset as your trainer reads it": f"learnalign export {run} --to trl",
            "or train on it here": f"learnalign train {run} --subset {subset}",
        }
    lines = "".join(f"<li>{e(what)}: {_code(command)}</li>" for what, command in commands.items())
    return f'<h3>Next</h3><ul class="next">{lines}</ul>'


def _code(text: str) -> str:
    words = " ".join(f"<span>{e(word)}</span>" for word in text.split(" "))  # broken between words, not after a hyphen
    return f'<span class="code"><code>{words}</code><button type="button" class="copy" hidden>Copy</button></span>'
