"""Three completions each of prompts that are never, half and always solved, with verdict and reason; the share cut off."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np

from learnalign.report.cosines import Cosines
from learnalign.report.gather import Gathered, question
from learnalign.report.text import counted, e, percent, quoted

EACH = 3
MOST = 1200  # characters of a completion
CUT = 0.05  # a share of completions cut off that deserves a word


def link(data: Gathered, place: int, most: int = 90) -> str:
    """A prompt's question, which opens its row in the table of all prompts."""
    prompt = data.prompts[place]
    return f'<a href="#prompts" data-place="{place}">{quoted(question(prompt), most)}</a>'


def completions(data: Gathered, cosines: Cosines | None = None) -> str:
    """The section."""
    if not data.prompts or not data.lengths.completions.any():
        return '<p class="missing">No completions are stored.</p>'
    if data.success is None:
        command = f"learnalign show {shlex.quote(str(data.run.path))}"
        return f'{_cut_off(data)}<p class="missing">Not all are drawn yet. Some of them: <code>{e(command)}</code></p>'
    rate, scored = data.success.rate, data.success.scored > 0
    nearest = np.abs(np.where(scored, rate, np.nan) - 0.5)
    half = np.flatnonzero(nearest == np.nanmin(nearest)) if scored.any() else np.array([], int)
    half = half[(rate[half] > 0) & (rate[half] < 1)]
    kinds = {
        "Never solved": np.flatnonzero(scored & (rate == 0)),
        "Solved sometimes": half,
        "Always solved": np.flatnonzero(scored & (rate == 1)),
    }
    picked = {kind: _spread(places) for kind, places in kinds.items()}
    texts = _read(data, {place for places in picked.values() for place in places})
    blocks = "".join(
        f'<div class="kind"><h3>{kind} <small>{counted(len(kinds[kind]), "prompt")}</small></h3>{_cards(data, places, texts, kind)}</div>'
        for kind, places in picked.items()
    )
    return f"{_cut_off(data)}<div class='kinds'>{blocks}</div>"


def _cut_off(data: Gathered) -> str:
    cut, every = int(data.lengths.cut.sum()), int(data.lengths.completions.sum())
    limit = data.run.config.rollout.max_completion_length
    if not cut:
        return f"<p>None of {every:,} completions was cut off at the limit of {limit:,} tokens.</p>"
    words = f"{percent(cut, every)} of {every:,} completions were cut off ({cut:,}); the limit is {limit:,} tokens."
    if cut > CUT * every:
        words += " A longer rollout.max_completion_length would let more of them end in an answer."
    return f"<p>{words}</p>"


def _spread(places: np.ndarray) -> list[int]:
    """First, middle and last of the places."""
    return (
        [int(places[i]) for i in dict.fromkeys(np.linspace(0, len(places) - 1, EACH).astype(int))]
        if len(places)
        else []
    )


def _read(data: Gathered, places: set[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for shard, table in data.rollouts():
        wanted = {data.prompts[place].id: place for place in places if shard.start <= place < shard.stop}
        if table is None or not wanted:
            continue
        names = [n for n in ("id", "text", "reward", "finish_reason", "answer", "reason") if n in table.column_names]
        for row in table.select(names).to_pylist():
            if row["id"] in wanted:
                found.setdefault(wanted[row["id"]], []).append(row)
    return found


def _cards(data: Gathered, places: list[int], texts: dict[int, list[dict[str, Any]]], kind: str) -> str:
    if not places:
        return '<p class="missing">None.</p>'
    cards = []
    for i, place in enumerate(places):
        rows = texts.get(place, [])
        if kind.startswith("Solved"):  # right and wrong in turn
            rows = [row for row in rows if row["reward"] == float(i % 2 == 0)] or rows
        cards.append(_card(data, place, rows[0] if rows else None))
    return "".join(cards)


def _card(data: Gathered, place: int, row: dict[str, Any] | None) -> str:
    prompt = data.prompts[place]
    head = link(data, place, 300)
    gold = f"<p class='gold'>Gold answer: {quoted(prompt.answer, 200)}</p>"
    if row is None:
        return f'<article class="card">{head}{gold}<p class="missing">No completion is stored.</p></article>'
    return f'<article class="card">{head}{gold}<pre>{quoted(row["text"], MOST)}</pre>{verdict(row)}</article>'


def verdict(row: dict[str, Any]) -> str:
    """Verdict, answer read, reason, and whether the completion was cut off."""
    reward = row["reward"]
    kind = "none" if reward is None else "right" if reward == 1 else "wrong"
    words = {"none": "not scored", "right": "correct", "wrong": "wrong"}[kind]
    parts = [f'<strong class="{kind}">{words}</strong>']
    answer, reason = row.get("answer"), row.get("reason")
    if answer is not None and answer not in (reason or ""):
        parts.append(f"read {quoted(answer, 100)}")
    if reason and reason != words:
        parts.append(quoted(reason, 200))
    if row["finish_reason"] == "length":
        parts.append("cut off")
    return f'<p class="verdict">{" · ".join(parts)}</p>'
