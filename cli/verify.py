"""`learnalign verify`: score completions that already exist."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Json, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from learnalign.verify.rows import Report

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSONL file of completions.", show_default=False)]
Names = Annotated[
    list[str],
    typer.Option(
        "--verifier",
        metavar="NAME",
        help="math, boxed, answer_tag, gsm8k, exact, literal or module:function; give it twice to see where two disagree.",
    ),
]
Completion = Annotated[str, typer.Option("--completion", metavar="COL", help="Column of the completion.")]
Answer = Annotated[
    str, typer.Option("--answer", metavar="COL", help="Column of the gold answer; a.b for b inside of a.")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the rows here instead of to stdout.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes; all CPUs by default.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.01, help="Seconds that one completion may take.")]


def verify(
    file: File,
    verifiers: Names = ["math"],  # noqa: B006  # typer's way to a default of a repeated option; never changed
    completion: Completion = "completion",
    answer: Answer = "answer",
    output: Output = None,
    workers: Workers = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Score the completions of a JSONL file against their gold answers.

    Each row is written with `reward` (1.0 correct, 0.0 wrong, null unscorable) and `reason`; further verifiers add
    `reward_2`, `reason_2` and so on, and stderr shows where they disagree. With --json the rows go only to -o, and
    stdout has the summary.
    """
    from learnalign.rundir.files import atomic_path
    from learnalign.verify.rows import verify_file

    options: dict[str, Any] = dict(completion=completion, answer=answer, workers=workers, timeout=timeout)
    if output is None:
        report = verify_file(file, verifiers, None if as_json else sys.stdout.write, **options)
    else:
        with atomic_path(output) as temporary, temporary.open("w", encoding="utf-8") as target:
            report = verify_file(file, verifiers, target.write, **options)
    if as_json:
        print_json(_summary(report))
    else:
        _show(report)


def _summary(report: Report) -> dict[str, Any]:
    verifiers = [
        {
            "verifier": tally.verifier,
            "correct": tally.correct,
            "wrong": tally.wrong,
            "unscorable": tally.unscorable.total(),
            "unscorable_reasons": dict(tally.unscorable.most_common()),
        }
        for tally in report.tallies
    ]
    examples = [
        {"line": each.line, "rewards": [v.reward for v in each.verdicts], "reasons": [v.reason for v in each.verdicts]}
        for each in report.examples
    ]
    return {
        "rows": report.rows,
        "verifiers": verifiers,
        "disagreements": report.disagreements,
        "patterns": [{"rewards": list(rewards), "rows": count} for rewards, count in report.patterns.most_common()],
        "examples": examples,
    }


def _show(report: Report) -> None:
    """Counts, reasons of unscorable rows and disagreements on stderr: stdout is the rows'."""
    from rich.console import Console

    console = Console(stderr=True) if sys.stderr.isatty() else Console(stderr=True, width=120)
    tallies = [(t.verifier, str(t.correct), str(t.wrong), str(t.unscorable.total())) for t in report.tallies]
    _print(console, f"{report.rows} completions", ["verifier", "correct", "wrong", "unscorable"], tallies)
    reasons = [(t.verifier, str(n), reason) for t in report.tallies for reason, n in t.unscorable.most_common(10)]
    if reasons:
        _print(console, "unscorable", ["verifier", "rows", "reason"], reasons)
    if len(report.tallies) > 1:
        names = [tally.verifier for tally in report.tallies]
        patterns = [(*map(_reward, rewards), str(count)) for rewards, count in report.patterns.most_common()]
        _print(console, f"rewards; the verifiers disagree on {report.disagreements} rows", [*names, "rows"], patterns)
    if report.examples:
        lines = [
            (str(each.line), *(f"{_reward(v.reward)}: {v.reason}" for v in each.verdicts)) for each in report.examples
        ]
        _print(console, "the first rows where they disagree", ["line", *names], lines)


def _reward(reward: float | None) -> str:
    return "null" if reward is None else f"{reward:.1f}"


def _print(console: Console, title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(pad_edge=False)
    for column in columns:
        table.add_column(escape(column), overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(title, style="bold", highlight=False)
    console.print(table)
