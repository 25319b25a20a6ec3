"""`learnalign verify`: score completions that already exist."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.names import VERIFIERS, listed

from .common import Json, print_json, print_table

if TYPE_CHECKING:
    from learnalign.verify.rows import Report

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSONL file of completions.", show_default=False)]
Names = Annotated[
    list[str],
    typer.Option(
        "--verifier",
        metavar="NAME",
        help=f"{listed(VERIFIERS)}, or module:function; repeat it to compare several.",
    ),
]
Completion = Annotated[str, typer.Option("--completion", metavar="COL", help="Column of the completion.")]
Answer = Annotated[str, typer.Option("--answer", metavar="COL", help="Column of the gold answer; a.b for b inside a.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the rows here, not to stdout.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes; all CPUs by default.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0.01,
        help="Seconds that one completion may take: of CPU time, for functions of your own by the clock.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--reasoning-tag",
        metavar="TAG",
        help="Further tag around reasoning, which is no answer: a name, or an opening and a closing one; repeatable.",
        show_default=False,
    ),
]


def verify(
    file: File,
    verifiers: Names = ["math"],  # noqa: B006  # the default of a repeated typer option; never changed
    completion: Completion = "completion",
    answer: Answer = "answer",
    output: Output = None,
    workers: Workers = None,
    timeout: Timeout = 5.0,
    reasoning_tags: Tags = None,
    as_json: Json = False,
) -> None:
    """Score the completions of a JSONL file against their gold answers.

    Writes each row with `reward` (1.0 correct, 0.0 wrong, null unscorable) and `reason`; further verifiers add
    `reward_2`, `reason_2` and so on, and stderr shows the disagreements. With --json the rows go only to -o, and stdout
    has the summary.
    """
    from learnalign.rundir.files import atomic_path
    from learnalign.verify.rows import verify_file

    options: dict[str, Any] = dict(completion=completion, answer=answer, workers=workers, timeout=timeout)
    options["reasoning_tags"] = reasoning_tags or ()
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
    """Print counts, reasons of unscorable rows and disagreements on stderr: stdout is for the rows."""
    tallies = [[t.verifier, t.correct, t.wrong, t.unscorable.total()] for t in report.tallies]
    print_table(f"{report.rows} completions", ["verifier", "correct", "wrong", "unscorable"], tallies, stderr=True)
    reasons = [[t.verifier, n, reason] for t in report.tallies for reason, n in t.unscorable.most_common(10)]
    if reasons:
        print_table("unscorable", ["verifier", "rows", "reason"], reasons, stderr=True)
    if len(report.tallies) > 1:
        print(f"the verifiers disagree on {report.disagreements} rows", file=sys.stderr)
        names = [tally.verifier for tally in report.tallies]
        patterns = [[*map(_reward, rewards), count] for rewards, count in report.patterns.most_common()]
        print_table("rewards", [*names, "rows"], patterns, stderr=True)
    if report.examples:
        lines = [
            [str(each.line), *(f"{_reward(v.reward)}: {v.reason}" for v in each.verdicts)] for each in report.examples
        ]
        print_table("first disagreements", ["line", *names], lines, stderr=True)


def _reward(reward: float | None) -> str:
    return "null" if reward is None else f"{reward:.1f}"
