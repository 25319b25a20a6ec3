"""`learnalign verify`: score completions that already exist."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.names import GRADERS, VERIFIERS, check_name, listed

from .common import Json, print_json, print_table

if TYPE_CHECKING:
    from learnalign.verify.rows import Report

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE|DIR", help="JSONL file of completions, or a run directory: its rollouts.", show_default=False
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--verifier",
        metavar="NAME",
        help=f"{listed(VERIFIERS)}, or module:function; repeat it to compare several. Default: math, or the run's.",
        show_default=False,
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="NAME",
        help=f"Count how often a trainer's own grader judges otherwise: {listed(GRADERS)}.",
        show_default=False,
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
        "--timeout", min=0.01, help="Seconds that one completion may take: CPU time, or by the clock for a function."
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
    verifiers: Names = None,
    graders: With = None,
    completion: Completion = "completion",
    answer: Answer = "answer",
    output: Output = None,
    workers: Workers = None,
    timeout: Timeout = 5.0,
    reasoning_tags: Tags = None,
    as_json: Json = False,
) -> None:
    """Score completions against their gold answers: of a JSONL file, or the stored rollouts of a run.

    Writes each row with `reward` (1.0 correct, 0.0 wrong, null unscorable) and `reason`; further verifiers add
    `reward_2`, `reason_2` and so on, and stderr shows the disagreements. With --json the rows go only to -o, and stdout
    has the summary. Of a run nothing changes; rows are written only to -o, and rewards are compared with the stored ones.
    """
    from learnalign.rundir.files import atomic_path

    for name in graders or []:
        check_name("grader", name, GRADERS)
    with contextlib.ExitStack() as stack:
        write = None if as_json or file.is_dir() else sys.stdout.write
        if output is not None:
            temporary = stack.enter_context(atomic_path(output))
            write = stack.enter_context(temporary.open("w", encoding="utf-8")).write
        report = _judge(
            file, [*(verifiers or []), *(graders or [])], bool(verifiers), write, (completion, answer),
            workers=workers, timeout=timeout, reasoning_tags=reasoning_tags or (),
        )  # fmt: skip
    if as_json:
        print_json(_summary(report))
    else:
        _show(report)


def _judge(file: Path, names: list[str], chosen: bool, write: Any, columns: tuple[str, str], **options: Any) -> Report:
    """Judge a file with `names`, and with `math` if no verifier was chosen; a run with the run's own."""
    if not file.is_dir():
        from learnalign.verify.rows import verify_file

        return verify_file(file, names if chosen else ["math", *names], write, *columns, **options)
    from learnalign.rollouts.again import verify_run
    from learnalign.rundir import RunDir

    run = RunDir.open(file)
    options["reasoning_tags"] = options["reasoning_tags"] or run.config.data.reasoning_tags
    return verify_run(run, names if chosen else [run.config.verifier, *names], write, **options)


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
