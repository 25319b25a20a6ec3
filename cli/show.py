"""`learnalign show`: prompts with their completions, the answers read from them, and the verdicts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.errors import InputError, counted

from .common import Dir, Json, print_json, visible

if TYPE_CHECKING:
    from rich.console import Console

    from learnalign.rollouts.examples import Example
    from learnalign.rollouts.groups import Rollout

Id = Annotated[str | None, typer.Option("--id", metavar="ID", help="The prompt with this id.")]
Never = Annotated[bool, typer.Option("--never", help="Prompts that are never solved: p = 0.")]
Half = Annotated[bool, typer.Option("--half", help="Prompts with p nearest to 1/2.")]
Always = Annotated[bool, typer.Option("--always", help="Prompts that are always solved: p = 1.")]
Count = Annotated[int, typer.Option("-n", min=1, metavar="N", help="How many prompts.")]
Full = Annotated[bool, typer.Option("--full", help="All completions, and every text whole.")]

LONGEST = 400  # characters of a text, its beginning and its end
COMPLETIONS = 4  # of a prompt
WORDS = {"never": "never solved", "half": "sometimes solved", "always": "always solved"}


def show(
    directory: Dir,
    id: Id = None,
    never: Never = False,
    half: Half = False,
    always: Always = False,
    count: Count = 3,
    full: Full = False,
    as_json: Json = False,
) -> None:
    """Show prompts with their completions, the answers read, the verdicts and their reasons.

    Without --id, --never, --half or --always, some of each. Works while the rollouts are being drawn, too.
    """
    from learnalign.rollouts.examples import KINDS, example, examples
    from learnalign.rundir import RunDir

    kinds = [kind for kind, wanted in zip(KINDS, (never, half, always), strict=True) if wanted]
    if len(kinds) + (id is not None) > 1:
        raise InputError("give only one of --id, --never, --half and --always")
    run, kind = RunDir.peek(directory), kinds[0] if kinds else None
    found = [example(run, id)] if id is not None else examples(run, kind, count)
    cut = run.cut_ids()
    if as_json:
        print_json([_row(one, cut) for one in found])
    elif found:
        _print(found, full, cut)
    else:
        print(f"no prompt is {WORDS[kind] if kind else 'scored'} so far")


def _row(one: Example, cut: set[str]) -> dict[str, Any]:
    prompt = {key: value for key, value in asdict(one.prompt).items() if key != "source"}
    tokens = ("id", "prompt_ids", "completion_ids")
    rollouts = [
        {key: value for key, value in asdict(each).items() if key not in tokens} | {"tokens": len(each.completion_ids)}
        for each in one.rollouts
    ]
    without = {"cut_by_cascade": True} if one.prompt.id in cut else {}
    return {**prompt, "success_rate": one.success_rate, **without, "rollouts": rollouts}


def _print(found: list[Example], full: bool, cut: set[str]) -> None:
    import sys

    from rich.console import Console

    from learnalign.rollouts.examples import most_different

    console = Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False, emoji=False)
    for one in found:
        rollouts = one.rollouts if full else most_different(one.rollouts, COMPLETIONS)
        without = ", no gradient: cut by grad.cascade" if one.prompt.id in cut else ""
        console.rule(f"prompt {visible(one.prompt.id)}, {_rate(one)}{without}", align="left", characters="─")
        for message in one.prompt.messages if full else one.prompt.messages[-1:]:
            _text(console, message["role"], message["content"], full)
        _text(console, "gold", one.prompt.answer, full)
        for each in rollouts:
            _text(console, f"#{each.sample} {_verdict(each)}", each.text, full)
        if left_out := len(one.rollouts) - len(rollouts):
            console.print(f"… and {counted(left_out, 'more completion')}; --full shows all")
        console.print()


def _rate(one: Example) -> str:
    rewards = [each.reward for each in one.rollouts if each.reward is not None]
    counts = f"{sum(reward == 1 for reward in rewards)} of {len(rewards)} correct"
    return "nothing scored" if one.success_rate is None else f"p = {one.success_rate:.3g} ({counts})"


def _verdict(one: Rollout) -> str:
    """The verdict, the answer that was read, the reason, and whether the completion was cut off."""
    from learnalign.verify.verdict import shown

    verdict = "not scored" if one.reward is None else {1.0: "correct", 0.0: "wrong"}.get(one.reward, f"{one.reward:g}")
    reason, answer = one.reason or "", "" if one.answer is None else shown(one.answer)
    parts = [verdict] + ([f"read {answer}"] if answer not in reason else [])
    parts += [reason] if reason and reason != verdict else []
    parts += ["cut off"] if one.finish_reason == "length" else []
    return ", ".join(parts)


def _text(console: Console, label: str, text: str, full: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(visible(label).replace("\n", "\\n"), "bold"))
    console.print(
        Padding(Text(visible(text if full else shortened(text)), overflow="fold"), (0, 0, 0, 4), expand=False)
    )


def shortened(text: str, limit: int = LONGEST) -> str:
    """The beginning and the end of a long text, and between them how many characters are left out."""
    if len(text) <= limit:
        return text
    first, last = limit * 2 // 3, limit // 3
    return f"{text[:first]} … [{len(text) - first - last} characters left out] … {text[-last:]}"
