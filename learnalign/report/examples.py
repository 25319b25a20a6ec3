"""Three completions each of prompts that are never, sometimes and always solved, with verdict and reason; the share cut off."""

from __future__ import annotations

from learnalign.errors import counted
from learnalign.report.cosines import Cosines
from learnalign.report.gather import Gathered, question
from learnalign.report.text import e, number, percent, quoted
from learnalign.rollouts import Rollout
from learnalign.rollouts.examples import Example, Kind, examples_by_kind

EACH = 3
MOST = 1200  # characters of a completion
CUT = 0.05  # a share of completions cut off that deserves a word
TITLES: dict[Kind, str] = {"never": "Never solved", "half": "Solved sometimes", "always": "Always solved"}


def link(data: Gathered, place: int, most: int = 90) -> str:
    """A prompt's question, which opens its row in the table of all prompts."""
    prompt = data.prompts[place]
    return f'<a href="#prompts" data-place="{place}">{quoted(question(prompt), most)}</a>'


def completions(data: Gathered, cosines: Cosines | None = None) -> str:
    """The section."""
    if not data.prompts or not data.lengths.completions.any():
        return '<p class="missing">No completions are stored.</p>'
    blocks = []
    for kind, found in examples_by_kind(data.run, EACH).items():
        cards = [_card(data, one, _telling(one, kind, i)) for i, one in enumerate(found.examples)]
        head = f"<h3>{TITLES[kind]} <small>{counted(found.prompts, 'prompt')}</small></h3>"
        blocks.append(f'<div class="kind">{head}{"".join(cards) or _NONE}</div>')
    so_far = "" if data.success else "<p>Of the prompts whose completions are drawn so far:</p>"
    return f"{_cut_off(data)}{so_far}<div class='kinds'>{''.join(blocks)}</div>"


_NONE = '<p class="missing">None.</p>'


def _cut_off(data: Gathered) -> str:
    cut, every = int(data.lengths.cut.sum()), int(data.lengths.completions.sum())
    limit = data.run.config.rollout.max_completion_length
    if not cut:
        return f"<p>None of {counted(every, 'completion')} was cut off at the limit of {limit:,} tokens.</p>"
    words = f"{percent(cut, every)} of {counted(every, 'completion')} were cut off ({cut:,}); the limit is {limit:,} tokens."
    if cut > CUT * every:
        words += " A longer rollout.max_completion_length would let more of them end in an answer."
    return f"<p>{words}</p>"


def _telling(one: Example, kind: Kind, turn: int) -> Rollout:
    """The first completion; of prompts solved sometimes in turn a correct one and another."""
    wanted = [each for each in one.rollouts if (each.reward == 1) == (turn % 2 == 0)] if kind == "half" else []
    return (wanted or one.rollouts)[0]


def _card(data: Gathered, one: Example, rollout: Rollout) -> str:
    head = link(data, data.places[one.prompt.id], 300)
    gold = f"<p class='gold'>Gold answer: {quoted(one.prompt.answer, 200)}</p>"
    return f'<article class="card">{head}{gold}<pre>{quoted(rollout.text, MOST)}</pre>{verdict(rollout)}</article>'


def verdict(one: Rollout) -> str:
    """Verdict, answer read, reason, and whether the completion was cut off."""
    kind, words = {None: ("none", "not scored"), 1.0: ("right", "correct"), 0.0: ("wrong", "wrong")}.get(
        one.reward, ("none", f"reward {number(one.reward)}")
    )
    parts = [f'<strong class="{kind}">{e(words)}</strong>']
    if one.answer is not None and one.answer not in (one.reason or ""):
        parts.append(f"read {quoted(one.answer, 100)}")
    if one.reason and one.reason != words:
        parts.append(quoted(one.reason, 200))
    if one.finish_reason == "length":
        parts.append("cut off")
    return f'<p class="verdict">{" · ".join(parts)}</p>'
